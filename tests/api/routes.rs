//! Whatever can be steered from the command line can be steered over HTTP.

use super::Served;
use crate::commands::help::COMMANDS;
use reqwest::Method;

/// Commands of this machine: its processes, its files, its keys, a look at the whole.
const LOCAL: [&str; 11] = [
    "serve",
    "work",
    "schedule",
    "migrate",
    "keys generate",
    "keys check",
    "keys rotate",
    "status",
    "doctor",
    // Shown as `jobs show` and `gates show` are, by the same routes.
    "gates events",
    "collections list",
];

/// Each command's route. `ID` is an id that nothing has.
const ROUTES: [(&str, Method, &str); 71] = [
    ("users add", Method::POST, "users"),
    ("users authorise", Method::POST, "users/ID/authorise"),
    ("users resume", Method::POST, "users/resume"),
    ("users list", Method::GET, "users"),
    ("accounts add", Method::POST, "accounts"),
    ("accounts list", Method::GET, "accounts"),
    ("instances add", Method::POST, "instances"),
    ("instances sync", Method::POST, "instances/sync"),
    ("instances unblock", Method::POST, "instances/ID/unblock"),
    ("instances limit", Method::POST, "instances/ID/limit"),
    ("instances list", Method::GET, "instances"),
    ("workflows add", Method::POST, "workflows"),
    ("workflows update", Method::PATCH, "workflows/ID"),
    ("workflows list", Method::GET, "workflows"),
    ("workflows show", Method::GET, "workflows/ID"),
    ("workflows sync", Method::POST, "workflows/ID/sync"),
    ("workflows recheck", Method::POST, "workflows/ID/recheck"),
    ("backfill", Method::POST, "collections"),
    ("collections show", Method::GET, "collections/ID"),
    ("collections pause", Method::POST, "collections/ID/pause"),
    ("collections resume", Method::POST, "collections/ID/resume"),
    ("collections cancel", Method::POST, "collections/ID/cancel"),
    ("collections retry", Method::POST, "collections/ID/retry"),
    ("collections recollect", Method::POST, "collections/ID/recollect"),
    ("collections widen", Method::POST, "collections/ID/widen"),
    ("collections shrink", Method::POST, "collections/ID/shrink"),
    ("collections report", Method::GET, "collections/ID/report"),
    ("batches add", Method::POST, "batches"),
    ("batches list", Method::GET, "batches"),
    ("batches show", Method::GET, "batches/ID"),
    ("batches cancel", Method::POST, "batches/ID/cancel"),
    ("batches retry", Method::POST, "batches/ID/retry"),
    ("plans list", Method::GET, "plans"),
    ("plans show", Method::GET, "plans/ID"),
    ("plans pause", Method::POST, "plans/ID/pause"),
    ("plans resume", Method::POST, "plans/ID/resume"),
    ("plans cancel", Method::POST, "plans/ID/cancel"),
    ("plans retry", Method::POST, "plans/ID/retry"),
    ("schedules add", Method::POST, "schedules"),
    ("schedules update", Method::PATCH, "schedules/ID"),
    ("schedules list", Method::GET, "schedules"),
    ("schedules show", Method::GET, "schedules/ID"),
    ("schedules preview", Method::GET, "schedules/ID/preview"),
    ("schedules runs", Method::GET, "schedules/ID/runs"),
    ("schedules trigger", Method::POST, "schedules/ID/trigger"),
    ("schedules pause", Method::POST, "schedules/ID/pause"),
    ("schedules resume", Method::POST, "schedules/ID/resume"),
    ("schedules cancel", Method::POST, "schedules/ID/cancel"),
    ("schedules remove", Method::DELETE, "schedules/ID"),
    ("jobs list", Method::GET, "jobs"),
    ("jobs show", Method::GET, "jobs/ID"),
    ("jobs explain", Method::GET, "jobs/ID/explain"),
    ("jobs cancel", Method::POST, "jobs/ID/cancel"),
    ("jobs discard", Method::POST, "jobs/ID/discard"),
    ("jobs replay", Method::POST, "jobs/ID/replay"),
    ("jobs edit", Method::PATCH, "jobs/ID"),
    ("gates list", Method::GET, "resources"),
    ("gates show", Method::GET, "resources/ID"),
    ("gates set", Method::PUT, "resources/ID/gates"),
    ("gates pause", Method::POST, "resources/ID/pause"),
    ("gates resume", Method::POST, "resources/ID/resume"),
    ("gates trip", Method::POST, "resources/ID/trip"),
    ("events", Method::GET, "events"),
    ("webhooks add", Method::POST, "webhooks"),
    ("webhooks list", Method::GET, "webhooks"),
    ("webhooks show", Method::GET, "webhooks/ID"),
    ("webhooks test", Method::POST, "webhooks/ID/test"),
    ("webhooks disable", Method::POST, "webhooks/ID/disable"),
    ("webhooks enable", Method::POST, "webhooks/ID/enable"),
    ("webhooks remove", Method::DELETE, "webhooks/ID"),
    ("webhooks deliveries", Method::GET, "webhooks/ID/deliveries"),
];

#[test]
fn every_command_has_a_route_or_is_of_this_machine() {
    for (command, _) in COMMANDS {
        let has_route = ROUTES.iter().any(|(routed, ..)| *routed == command);
        assert_ne!(has_route, LOCAL.contains(&command), "{command}");
    }
    for (routed, ..) in ROUTES {
        assert!(COMMANDS.iter().any(|(command, _)| *command == routed), "{routed} is no command");
    }
}

#[tokio::test]
async fn every_route_of_a_command_is_there() {
    let served = Served::new().await;
    for (command, method, path) in ROUTES {
        let url = served.url(&format!("/v1/{path}"));
        let request = served.http.request(method, url).header("content-type", "application/json");
        let answer = request.body("{\"strange\": 1}").send().await.expect("an answer");
        let status = answer.status();
        assert!(status.is_success() || status.is_client_error(), "{command}: {status}");
        assert_ne!(status, 405, "{command}");
        let text = answer.text().await.expect("text");
        assert!(!text.contains("there is nothing at"), "{command}: {text}");
    }
}
