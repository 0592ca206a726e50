//! `/v1/users`: in whose name the engine works, and with which tokens.

use super::Api;
use super::asked::{Asked, Person};
use super::error::Problem;
use super::fields::Fields;
use super::query::{Given, Parameters};
use crate::given;
use crate::register::tokens;
use crate::register::users::{self, Authorised, NewUser, Resumed, Told};
use crate::store::Region;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use secrecy::SecretString;
use serde_json::json;

/// Every user, and how the token stands.
pub async fn list(State(api): State<Api>, query: Given) -> Result<Json<Vec<Told>>, Problem> {
    Parameters::none(query)?;
    Ok(Json(users::list(&api.db, api.keys.as_ref()).await?))
}

/// Adds a user with a refresh token: 201 and the user's id.
pub async fn add(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Problem> {
    let mut fields = Fields::from_request(&headers, body)?;
    let email: String = fields.required_text("email", "an address, as text", given::email)?;
    let name: String = fields.required_text("name", "a name, as text", given::name)?;
    let region = fields.required("region", "na, eu or fe")?;
    let token = token(&mut fields)?;
    let person = Person::of(fields)?;
    let keys = api.keys.as_ref().ok_or_else(Problem::no_key)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let new = NewUser { email: &email, name: &name, region, token: &token };
    let id = users::add(&mut tx, keys, &new, &person.because()).await?;
    tx.commit().await?;
    let answer = json!({"user_id": id, "email": email.to_lowercase()});
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Gives a user a new refresh token, and starts the work again that waited for it.
pub async fn authorise(
    State(api): State<Api>,
    mut asked: Asked,
) -> Result<Json<Authorised>, Problem> {
    let region: Option<Region> = asked.fields.optional("region", "na, eu or fe")?;
    let token = token(&mut asked.fields)?;
    let asked = asked.end()?;
    let keys = api.keys.as_ref().ok_or_else(Problem::no_key)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let (given, because) = ((region, &token), asked.because());
    let done = users::authorise(&mut tx, &api.queue, keys, &asked.id, given, &because).await?;
    tx.commit().await?;
    Ok(Json(done))
}

/// Lets every token try again that Amazon refused because of our client.
pub async fn resume(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Resumed>, Problem> {
    let person = Person::of(Fields::from_request(&headers, body)?)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let done = users::resume(&mut tx, &api.queue, &person.because()).await?;
    tx.commit().await?;
    Ok(Json(done))
}

fn token(fields: &mut Fields) -> Result<SecretString, Problem> {
    fields.required_told("refresh_token", "a refresh token, as text", tokens::read)
}
