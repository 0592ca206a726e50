//! What an installation begins with: an environment, a user, an account, an instance, a workflow.

use crate::harness::database::TestDatabase;
use recomamp::queue::gate::Rule;
use recomamp::simulator::Simulator;
use recomamp::store::accounts::{self, NewAccount};
use recomamp::store::instances::{self, NewInstance};
use recomamp::store::workflows::{self, NewWorkflow};
use recomamp::store::{
    AccountUuid, InstanceUuid, Region, UserId, WorkflowUuid, credentials, users,
};
use recomamp::tools::{Tools, resources};
use secrecy::SecretString;
use sqlx::PgConnection;
use tempfile::TempDir;

pub fn environment(db: &TestDatabase, amc: &Simulator, results: &TempDir) -> Vec<(String, String)> {
    let settings = amc.settings();
    let pairs = [
        ("DATABASE_URL", db.url().to_owned()),
        ("RECOMAMP_ENCRYPTION_KEYS", "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=".to_owned()),
        ("RECOMAMP_LWA_CLIENT_ID", settings.client_id.clone()),
        ("RECOMAMP_LWA_CLIENT_SECRET", settings.client_secret.clone()),
        ("RECOMAMP_AMC_URL_NA", amc.base_url()),
        ("RECOMAMP_AMC_URL_EU", amc.base_url()),
        ("RECOMAMP_AMC_URL_FE", amc.base_url()),
        ("RECOMAMP_LWA_TOKEN_URL_NA", amc.token_url()),
        ("RECOMAMP_RESULTS_URL", results.path().display().to_string()),
        ("RECOMAMP_POLL_FIRST", "100ms".to_owned()),
        ("RECOMAMP_POLL_MAX", "500ms".to_owned()),
        ("RECOMAMP_SUBMIT_LOOKUP", "1s".to_owned()),
        // Tests count calls; those of the checks themselves switch it on.
        ("RECOMAMP_CHECK_VERSIONS", "false".to_owned()),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

pub async fn installation(
    db: &TestDatabase,
    amc: &Simulator,
    tools: &Tools,
) -> (UserId, AccountUuid, InstanceUuid, WorkflowUuid) {
    let amazon = amc.settings();
    let place = &amazon.accounts[0];
    let mut tx = db.pool().begin().await.expect("begun");
    let token = &amazon.users[0].refresh_token;
    let user = add_user(&mut tx, tools, "ada@example.com", token).await;
    let account = NewAccount {
        account_id: &place.account_id,
        account_name: &place.name,
        marketplace_id: &place.marketplace_id,
        region: Region::Na,
        user_id: user,
    };
    let resource = resources::account(&place.account_id);
    tools.queue.set_gate(&mut tx, &resource, Rule::Holds(Some(200))).await.expect("limited");
    let account = accounts::insert(&mut *tx, &account).await.expect("an account");
    let instance = add_instance(&mut tx, tools, account, &place.instances[0].instance_id).await;
    let workflow = NewWorkflow {
        workflow_id: "weekly-campaigns",
        name: "Weekly campaigns",
        instance_id: instance,
        user_id: user,
    };
    let workflow = workflows::insert(&mut *tx, &workflow).await.expect("a workflow");
    tx.commit().await.expect("committed");
    (user, account, instance, workflow)
}

pub async fn add_user(tx: &mut PgConnection, tools: &Tools, email: &str, token: &str) -> UserId {
    let user = users::insert(&mut *tx, email, email, None).await.expect("a user");
    let token = tools.seal(&SecretString::from(token));
    credentials::authorise(&mut *tx, user, Region::Na, None, &token).await.expect("authorised");
    user
}

pub async fn add_instance(
    tx: &mut PgConnection,
    tools: &Tools,
    account_id: AccountUuid,
    instance_id: &str,
) -> InstanceUuid {
    let resource = resources::instance(instance_id);
    tools.queue.set_gate(&mut *tx, &resource, Rule::Holds(Some(10))).await.expect("limited");
    let instance =
        NewInstance { instance_id, instance_name: instance_id, account_id, endpoint_url: None };
    instances::insert(&mut *tx, &instance).await.expect("an instance")
}
