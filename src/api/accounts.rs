//! `/v1/accounts`: the Amazon advertising accounts that own AMC instances.

use super::Api;
use super::asked::Person;
use super::error::Problem;
use super::fields::Fields;
use super::query::{Given, Parameters};
use crate::given;
use crate::register::accounts::{self, NewAccount, Told};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde_json::json;

/// Every account.
pub async fn list(State(api): State<Api>, query: Given) -> Result<Json<Vec<Told>>, Problem> {
    Parameters::none(query)?;
    Ok(Json(accounts::list(&api.db).await?))
}

/// Adds an account: 201.
pub async fn add(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Problem> {
    const MARKETPLACE: &str = "a country code such as US, or Amazon's id of a marketplace";
    let mut fields = Fields::from_request(&headers, body)?;
    let new = NewAccount {
        account_id: fields.required_told("account_id", "Amazon's id, ENTITY…", accounts::id)?,
        name: fields.required_text("name", "a name, as text", given::name)?,
        marketplace: fields.required_told("marketplace", MARKETPLACE, accounts::marketplace)?,
        region: fields.optional("region", "na, eu or fe")?,
        user: fields.required("user", "the email of a user")?,
    };
    let person = Person::of(fields)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let id = accounts::add(&mut tx, &new, &person.because()).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(json!({"id": id, "account_id": new.account_id}))))
}
