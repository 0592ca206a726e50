//! Lists: all pages, with a guard against a list that never ends.

use super::call::Call;
use super::client::Client;
use super::error::{Class, Error};
use super::json;
use serde_json::value::RawValue;
use std::collections::HashSet;

/// More pages than this (of up to 100 each) is not a list any more but a mistake in the question.
pub(super) const PAGES_MAX: usize = 50;

/// One page.
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

impl Client {
    /// Everything in a list, in AMC's order. `name` is the field with the items.
    ///
    /// Either complete or an error: an item that cannot be read is not skipped, because somebody may
    /// conclude from the list that something does not exist.
    pub(super) async fn all_pages<T>(
        &self,
        mut call: Call<'_>,
        name: &str,
        item: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, Error> {
        let operation = call.operation;
        let question = call.query.clone();
        let mut seen = HashSet::new();
        let mut items = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self.call(&call, |text| read(text, name, &item)).await?;
            items.extend(page.items);
            let Some(token) = page.next else { return Ok(items) };
            if !seen.insert(token.clone()) {
                let reason = "the list repeats a page: the same nextToken came twice";
                return Err(Error::new(operation, Class::Transient, reason));
            }
            call.query.clone_from(&question);
            call.query.push(("nextToken", token));
        }
        let reason = format!("the list has more than {PAGES_MAX} pages; ask a narrower question");
        Err(Error::new(operation, Class::Permanent, reason))
    }
}

fn read<T>(
    text: &str,
    name: &str,
    item: &impl Fn(&str) -> Result<T, String>,
) -> Result<Page<T>, String> {
    let fields = json::fields(text)?;
    let list = fields.get(name).ok_or_else(|| format!("the answer has no field `{name}`"))?;
    let raw: Option<Vec<&RawValue>> = serde_json::from_str(list.get())
        .map_err(|_| format!("the field `{name}` is not a list"))?;
    let items =
        raw.unwrap_or_default().into_iter().map(|raw| item(raw.get())).collect::<Result<_, _>>()?;
    let next = match fields.get("nextToken") {
        Some(raw) => serde_json::from_str::<Option<String>>(raw.get())
            .map_err(|_| "the field `nextToken` is not a text".to_owned())?
            .filter(|token| !token.is_empty()),
        None => None,
    };
    Ok(Page { items, next })
}
