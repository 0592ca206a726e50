//! Everything that can be asked again: executions, workflows, accounts, instances.

use super::harness::{
    Seen, Server, TOKEN, Then, caller, client, execution_id, impatient, instance, json, observed,
    raw,
};
use crate::amc::{
    AmcWorkflowId, Class, Client, Created, Error, ExecutionFilter, NewWorkflow, Region, Sql, Status,
};
use chrono::DateTime;
use std::io;
use std::sync::{Arc, Mutex};

/// Gets an execution from a server that always gives this answer.
async fn get(
    client: &Client,
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Status, Error> {
    let server = Server::always(status, headers, body).await;
    let result = client.execution(&caller(&server.url), &instance(), &execution_id()).await;
    server.only();
    result.map(|execution| execution.status)
}

fn since() -> ExecutionFilter {
    ExecutionFilter::since(DateTime::from_timestamp(1_735_689_600, 999_000_000).unwrap())
}

async fn list(client: &Client, server: &Server) -> Result<Vec<String>, Error> {
    let list = client.executions(&caller(&server.url), &instance(), &since()).await?;
    Ok(list.into_iter().map(|execution| execution.id.to_string()).collect())
}

fn token_of(seen: &Seen) -> Option<String> {
    seen.query().into_iter().find(|(name, _)| name == "nextToken").map(|(_, token)| token)
}

#[tokio::test]
async fn an_execution_with_a_word_of_the_future_is_read() {
    let body = r#"{"workflowExecutionId":"x","status":"HIBERNATING"}"#;
    assert_eq!(
        get(&client(), 200, &[], body).await.unwrap(),
        Status::Other("HIBERNATING".to_owned())
    );
}

#[tokio::test]
async fn a_question_that_failed_on_the_way_can_be_asked_again() {
    let impatient = impatient();
    let client = client();
    for (status, body) in [(200, ""), (200, "<html>"), (500, ""), (502, "<html>"), (504, "{}")] {
        let error = get(&client, status, &[], body).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{status} {body:?}");
    }
    for then in [Then::Close(""), Then::Hang("")] {
        let (url, _) = raw(then).await;
        let result = impatient.execution(&caller(&url), &instance(), &execution_id()).await;
        assert_eq!(result.unwrap_err().class(), Class::Transient);
    }
}

#[tokio::test]
async fn a_refusal_carries_its_class_its_words_and_its_request_id() {
    let client = client();
    let unknown = r#"{"code":"400","details":"Workflow execution with ID x does not exist."}"#;
    let error = get(&client, 400, &[("x-amzn-requestid", "r-9")], unknown).await.unwrap_err();
    assert_eq!(error.class(), Class::NotFoundYet);
    assert_eq!(error.code(), Some("400"));
    assert_eq!(error.body(), Some(unknown));
    assert_eq!(
        error.to_string(),
        "get_execution is not_found_yet (HTTP 400): \
         Workflow execution with ID x does not exist. [request r-9]"
    );
    let terms = r#"{"details":"Terms and conditions must be accepted to continue."}"#;
    assert_eq!(get(&client, 403, &[], terms).await.unwrap_err().class(), Class::Blocked);
    let error =
        get(&client, 400, &[("x-amzn-errortype", "ThrottlingException")], "").await.unwrap_err();
    assert_eq!(error.class(), Class::Throttled { retry_after: None });
    assert_eq!((error.code(), error.reason()), (Some("ThrottlingException"), "Bad Request"));
}

#[tokio::test]
async fn a_huge_refusal_is_kept_short() {
    let error = get(&client(), 400, &[], &"x".repeat(1_000_000)).await.unwrap_err();
    assert_eq!(error.class(), Class::Permanent);
    assert!(error.body().unwrap().len() <= 2048 && error.reason().len() <= 500);
}

#[tokio::test]
async fn a_huge_answer_is_not_read_to_its_end() {
    let (client, reports) = observed(1000);
    let server = Server::always(200, &[], &"x".repeat(1_000_000)).await;
    let result = client.execution(&caller(&server.url), &instance(), &execution_id()).await;
    let error = result.unwrap_err();
    assert_eq!((error.class(), error.status()), (Class::Transient, Some(200)));
    assert!(error.reason().contains("larger than 1000 bytes"), "{error}");
    assert_eq!(error.body(), Some("x".repeat(1000).as_str()));
    assert_eq!(reports.lock().unwrap()[0].outcome, "transient");
}

#[tokio::test]
async fn a_list_is_read_from_all_its_pages_with_the_same_filter() {
    let client = client();
    let server = Server::answering(|_, seen| {
        json(match token_of(seen).as_deref() {
            None => r#"{"executions":[{"workflowExecutionId":"c"},{"workflowExecutionId":"b"}],"nextToken":"p/2=="}"#,
            Some("p/2==") => r#"{"executions":[{"workflowExecutionId":"a"}],"nextToken":"p3"}"#,
            Some(_) => r#"{"executions":null,"nextToken":""}"#,
        })
    })
    .await;
    let weekly = AmcWorkflowId::new("weekly").unwrap();
    let filter = since().and_workflow(weekly).include_cancelled().include_workflow().per_page(100);
    let list = client.executions(&caller(&server.url), &instance(), &filter).await.unwrap();
    let ids: Vec<_> = list.iter().map(|execution| execution.id.as_str()).collect();
    assert_eq!(ids, ["c", "b", "a"]);

    let asked = [
        ("includeCancelled", "true"),
        ("includeWorkflow", "true"),
        ("limit", "100"),
        ("minCreationTime", "2025-01-01T00:00:00"),
        ("timeZone", "UTC"),
        ("workflowId", "weekly"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let seen = server.seen();
    assert_eq!(
        seen.iter().map(token_of).collect::<Vec<_>>(),
        [None, Some("p/2==".into()), Some("p3".into())]
    );
    for seen in seen {
        let mut query = seen.query();
        query.retain(|(name, _)| name != "nextToken");
        assert_eq!(query, asked);
    }
}

#[tokio::test]
async fn a_list_that_repeats_a_page_is_an_error_and_not_an_answer() {
    let server = Server::always(200, &[], r#"{"executions":[],"nextToken":"again"}"#).await;
    let error = list(&client(), &server).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_list_without_an_end_is_given_up() {
    let server = Server::answering(|number, _| {
        json(format!(r#"{{"executions":[],"nextToken":"{number}"}}"#))
    })
    .await;
    let error = list(&client(), &server).await.unwrap_err();
    assert_eq!(error.class(), Class::Permanent);
    assert_eq!(server.seen().len(), crate::amc::page::PAGES_MAX);
}

#[tokio::test]
async fn a_list_is_complete_or_an_error() {
    let client = client();
    let bodies = [
        "{}",
        r#"{"executions":{}}"#,
        r#"{"executions":[{"status":"RUNNING"}]}"#,
        r#"{"executions":[{"workflowExecutionId":"a"}],"nextToken":7}"#,
    ];
    for body in bodies {
        let server = Server::always(200, &[], body).await;
        let error = list(&client, &server).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{body}");
    }
    let server = Server::always(200, &[], r#"{"executions":[]}"#).await;
    assert_eq!(list(&client, &server).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn an_execution_is_cancelled_by_writing_its_status() {
    let server = Server::always(200, &[], "{}").await;
    client().cancel_execution(&caller(&server.url), &instance(), &execution_id()).await.unwrap();
    let seen = server.only();
    assert_eq!((seen.method.as_str(), seen.body.as_str()), ("PUT", r#"{"status":"CANCELLED"}"#));
    assert!(seen.target.ends_with("/workflowExecutions/b3a77999-7c8e-4289-9bf9-5da8f178536c"));
}

#[tokio::test]
async fn a_workflow_that_does_not_exist_is_none() {
    let client = client();
    let id = AmcWorkflowId::new("weekly").unwrap();
    let answers = [
        (200, r#"{"workflow":{"workflowId":"weekly","sqlQuery":"SELECT 1"}}"#, true),
        (200, r#"{"workflowId":"weekly","sqlQuery":"SELECT 1"}"#, true),
        (404, "{}", false),
        (400, r#"{"details":"Workflow with ID weekly does not exist."}"#, false),
    ];
    for (status, body, exists) in answers {
        let server = Server::always(status, &[], body).await;
        let found = client.workflow(&caller(&server.url), &instance(), &id).await.unwrap();
        assert_eq!(
            found.map(|workflow| workflow.sql_query),
            exists.then(|| Some("SELECT 1".into()))
        );
    }
    let server = Server::always(400, &[], r#"{"details":"bad"}"#).await;
    assert!(client.workflow(&caller(&server.url), &instance(), &id).await.is_err());
}

#[tokio::test]
async fn a_workflow_can_be_saved_twice_and_replaced() {
    let client = client();
    let id = AmcWorkflowId::new("weekly").unwrap();
    let workflow = NewWorkflow::new(id, Sql::normalise("SELECT 1").unwrap());
    let exists = r#"{"code":"400","details":"Workflow with ID weekly already exists."}"#;
    for (status, body, created) in [(200, "{}", Created::New), (400, exists, Created::Existing)] {
        let server = Server::always(status, &[], body).await;
        let caller = caller(&server.url);
        let result = client.create_workflow(&caller, &instance(), &workflow).await;
        assert_eq!(result.unwrap(), created);
    }
    let server = Server::always(200, &[], "").await;
    client.update_workflow(&caller(&server.url), &instance(), &workflow).await.unwrap();
    let seen = server.only();
    assert_eq!(seen.method, "PUT");
    assert_eq!(seen.target, "/amc/reporting/amcibersblt/workflows/weekly");
    assert_eq!(seen.body, r#"{"sqlQuery":"SELECT 1","workflowId":"weekly"}"#);
}

#[tokio::test]
async fn accounts_are_listed_without_naming_one() {
    let body = r#"{"amcAccounts":[{"accountId":"ENTITY1","accountName":"A","marketplaceId":"A1F83G8C2ARO7P"}]}"#;
    let server = Server::always(200, &[], body).await;
    let accounts = client().accounts(&caller(&server.url).access).await.unwrap();
    assert_eq!(accounts[0].marketplace_id.as_ref().unwrap().region(), Some(Region::Eu));
    let seen = server.only();
    assert_eq!(seen.target, "/amc/accounts");
    assert_eq!(seen.header("amazon-advertising-api-advertiserid"), None);
    assert_eq!(seen.header("amazon-advertising-api-marketplaceid"), None);
    assert!(seen.header("authorization").is_some());
}

#[tokio::test]
async fn instances_and_workflows_are_listed() {
    let client = client();
    let body = r#"{"instances":[{"instanceId":"amcibersblt","advertiserTypes":["SPONSORED_ADS"],"creationStatus":"COMPLETED"}],
        "workflows":[{"workflowId":"w"}],"nextToken":null}"#;
    let server = Server::always(200, &[], body).await;
    let instances = client.instances(&caller(&server.url)).await.unwrap();
    assert_eq!(instances[0].advertiser_types, ["SPONSORED_ADS"]);
    let workflows = client.workflows(&caller(&server.url), &instance()).await.unwrap();
    assert_eq!(workflows[0].workflow_id, "w");
    let targets: Vec<_> = server.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/amc/instances", "/amc/reporting/amcibersblt/workflows"]);
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_token_is_ever_logged_or_kept_even_when_it_is_echoed() {
    let client = client();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // A log point that the thread of another test met first believes that nobody listens. By the end of
    // this call it has been met, and can be told.
    get(&client, 200, &[], r#"{"workflowExecutionId":"x"}"#).await.unwrap();
    tracing::callsite::rebuild_interest_cache();

    let echo = format!(
        r#"{{"message":"Invalid key=value pair in Authorization header: Bearer {TOKEN}"}}"#
    );
    for status in [200, 403] {
        let error = get(&client, status, &[("x-amzn-requestid", "r-7")], &echo).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("the-access-token"), "{shown}");
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!log.contains("the-access-token"), "{log}");
    assert!(log.contains("get_execution") && log.contains("r-7"), "{log}");
}
