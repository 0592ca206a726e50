//! `users`: the people in whose name the engine talks to Amazon.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use super::ids::UserId;

/// A row of `users`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct User {
    /// Names the user here.
    pub id: UserId,
    /// How people name the user, in lower case.
    pub email: String,
    /// What to call the user on a page.
    pub name: String,
    /// Amazon's id of the user, when it is known.
    pub amazon_user_id: Option<String>,
    /// False stops new work in the user's name.
    pub is_active: bool,
    /// When the row was made.
    pub created_at: DateTime<Utc>,
}

/// Adds a user. An email that is taken is a unique violation.
pub async fn insert(
    db: impl PgExecutor<'_>,
    email: &str,
    name: &str,
    amazon_user_id: Option<&str>,
) -> Result<UserId, sqlx::Error> {
    sqlx::query_scalar(
        r"-- users_insert
        insert into users (id, email, name, amazon_user_id)
        values ($1, lower($2), $3, $4)
        returning id",
    )
    .bind(UserId::fresh())
    .bind(email)
    .bind(name)
    .bind(amazon_user_id)
    .fetch_one(db)
    .await
}

/// The user with this id.
pub async fn by_id(db: impl PgExecutor<'_>, user: UserId) -> Result<Option<User>, sqlx::Error> {
    sqlx::query_as(
        r"-- users_by_id
        select id, email, name, amazon_user_id, is_active, created_at
        from users
        where id = $1",
    )
    .bind(user)
    .fetch_optional(db)
    .await
}

/// The user with this email, in whatever case.
pub async fn by_email(db: impl PgExecutor<'_>, email: &str) -> Result<Option<User>, sqlx::Error> {
    sqlx::query_as(
        r"-- users_by_email
        select id, email, name, amazon_user_id, is_active, created_at
        from users
        where email = lower($1)",
    )
    .bind(email)
    .fetch_optional(db)
    .await
}

/// Every user, by email.
pub async fn list(db: impl PgExecutor<'_>) -> Result<Vec<User>, sqlx::Error> {
    sqlx::query_as(
        r"-- users_list
        select id, email, name, amazon_user_id, is_active, created_at
        from users
        order by email",
    )
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::House;

    #[tokio::test]
    async fn a_user_is_found_by_an_email_in_any_case_and_is_there_once() {
        let house = House::new().await;
        let found = by_email(house.db(), "Ana@Shelf.Example").await.unwrap();
        assert_eq!(found, by_id(house.db(), house.user).await.unwrap());
        assert!(found.is_some());

        let error = insert(house.db(), "ANA@shelf.example", "Ana", None).await.unwrap_err();
        let constraint = error.as_database_error().and_then(|error| error.constraint());
        assert_eq!(constraint, Some("users_email_key"));
        assert_eq!(list(house.db()).await.unwrap().len(), 1);
    }
}
