//! `/v1/instances`: the AMC instances that the engine knows, and asking AMC which there are.

use super::Api;
use super::error::Problem;
use super::fields::Fields;
use super::query::{Given, Parameters};
use crate::jobs::sync_instances;
use crate::store::instances::{self, InstanceStatus};
use crate::store::{credentials, users};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::json;

/// What a program is told of an instance.
#[derive(Debug, Serialize)]
pub struct Shown {
    instance_id: String,
    name: String,
    status: InstanceStatus,
    block_reason: Option<String>,
}

/// Every instance.
pub async fn list(State(api): State<Api>, query: Given) -> Result<Json<Vec<Shown>>, Problem> {
    Parameters::none(query)?;
    let rows = instances::list(&api.db).await?.into_iter();
    Ok(Json(
        rows.map(|row| Shown {
            instance_id: row.instance_id,
            name: row.instance_name,
            status: row.status,
            block_reason: row.block_reason,
        })
        .collect(),
    ))
}

/// Asks AMC which accounts and instances there are, for one user or for all: 202.
pub async fn sync(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Problem> {
    let mut fields = Fields::from_request(&headers, body)?;
    let email: Option<String> = fields.optional("user", "the email of a user")?;
    fields.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let chosen = match email {
        None => credentials::usable(&mut *tx).await?,
        Some(email) => {
            let user = users::by_email(&mut *tx, &email).await?;
            let unknown = || Problem::invalid("user", format!("there is no user {email}"));
            let user = user.ok_or_else(unknown)?.id;
            if credentials::refresh_token(&mut *tx, user).await?.is_none() {
                return Err(Problem::invalid("user", "the user has no token: authorise the user"));
            }
            vec![user]
        }
    };
    for user in &chosen {
        sync_instances::ask_now(&api.queue, &mut tx, *user).await?;
    }
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"users": chosen}))))
}
