//! What an error body says, whatever its shape: JSON of several kinds, XML, HTML, nothing.

use serde_json::Value;

/// The most of an error's body that is read, in bytes.
pub(super) const READ_MAX: usize = 64 * 1024;
/// The most of an error's body that is kept, in bytes.
const KEPT_MAX: usize = 2 * 1024;
/// The longest reason given, in bytes.
const REASON_MAX: usize = 500;

/// Where a reason has been seen, best first.
const REASON_FIELDS: [&str; 6] =
    ["details", "message", "Message", "statusReason", "messageSubject", "error_description"];
/// Where an error code has been seen, best first.
const CODE_FIELDS: [&str; 3] = ["code", "error", "__type"];

/// The useful parts of an error body, free of secrets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Its error code.
    pub code: Option<String>,
    /// Its reason, or the text itself; empty when there is none.
    pub reason: String,
    /// Its beginning, for storing.
    pub kept: Option<String>,
    /// Whether it is JSON, as AMC's own words are.
    pub is_json: bool,
}

/// Reads an error body. `secrets` are cut out wherever they are echoed, as some gateways do.
pub(super) fn read(body: &[u8], secrets: &[&str]) -> Said {
    let text = clean(&String::from_utf8_lossy(body), secrets);
    let json = serde_json::from_str::<Value>(&text);
    let is_json = json.is_ok();
    let (code, reason) = match json {
        Ok(Value::Object(fields)) => {
            let first = |names: &[&str]| names.iter().find_map(|name| as_text(fields.get(*name)?));
            (first(&CODE_FIELDS), first(&REASON_FIELDS).unwrap_or_else(|| one_line(&text)))
        }
        Ok(_) => (None, one_line(&text)),
        Err(_) if text.contains("<Code>") => {
            (element(&text, "Code"), element(&text, "Message").unwrap_or_default())
        }
        Err(_) => (None, one_line(&without_tags(&text))),
    };
    Said {
        code: code.map(|code| cut(&code, 100)),
        reason: cut(&reason, REASON_MAX),
        kept: (!text.is_empty()).then(|| cut(&text, KEPT_MAX)),
        is_json,
    }
}

/// Cuts a text to at most `bytes`, between characters.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

/// Takes out secrets, anything that looks like a token of Amazon's, and zero bytes, which no database
/// column takes.
pub(super) fn clean(text: &str, secrets: &[&str]) -> String {
    let mut text = text.replace('\0', "\u{fffd}");
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "[secret]");
    }
    for mark in ["Atza|", "Atzr|", "Atza%7C", "Atzr%7C"] {
        while let Some(from) = text.find(mark) {
            let tail = &text[from + mark.len()..];
            let ends = |c: char| !(c.is_ascii_alphanumeric() || "-_|.=+/%~".contains(c));
            let to = from + mark.len() + tail.find(ends).unwrap_or(tail.len());
            text.replace_range(from..to, "[token]");
        }
    }
    text
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) if text.trim().is_empty() => None,
        Value::String(text) => Some(clean(&one_line(text), &[])),
        other => Some(other.to_string()),
    }
}

fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(one_line(text))
}

fn without_tags(html: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                text.push(' ');
            }
            _ if !inside => text.push(c),
            _ => {}
        }
    }
    text
}

fn one_line(text: &str) -> String {
    let head = &text[..text.floor_char_boundary(4 * REASON_MAX)];
    head.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(body: &str) -> String {
        read(body.as_bytes(), &[]).reason
    }

    #[test]
    fn the_reason_is_found_in_every_shape_of_body() {
        let said = read(br#"{"code":"400","details":"bad  window","message":"other"}"#, &[]);
        assert_eq!((said.code.as_deref(), said.reason.as_str()), (Some("400"), "bad window"));
        assert_eq!(
            reason(r#"{"message":"Endpoint request timed out"}"#),
            "Endpoint request timed out"
        );
        assert_eq!(reason(r#"{"Message":"no"}"#), "no");
        assert_eq!(reason(r#"{"details":null,"statusReason":"too late"}"#), "too late");
        assert_eq!(reason(r#"{"details":"","messageSubject":"gone"}"#), "gone");
        assert_eq!(reason(r#"{"details":[{"field":"x"}]}"#), r#"[{"field":"x"}]"#);
        assert_eq!(reason(r#"{"odd":true}"#), r#"{"odd":true}"#);
        assert_eq!(reason("plain\n text"), "plain text");
        assert_eq!(
            reason("<html><h1>429 Too Many Requests</h1><hr>openresty</html>"),
            "429 Too Many Requests openresty"
        );
        let xml =
            "<?xml?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
        let said = read(xml.as_bytes(), &[]);
        assert_eq!(said.code.as_deref(), Some("AccessDenied"));
        assert_eq!(said.reason, "Request has expired");
    }

    #[test]
    fn an_empty_body_says_nothing() {
        assert_eq!(read(b"", &[]), Said::default());
    }

    #[test]
    fn a_huge_body_is_kept_short_and_cut_between_characters() {
        let said = read("\u{e4}".repeat(READ_MAX).as_bytes(), &[]);
        assert!(said.kept.unwrap().len() <= KEPT_MAX);
        assert!(said.reason.len() <= REASON_MAX);
    }

    #[test]
    fn what_is_not_text_does_not_reach_the_database_as_it_is() {
        let said = read(b"\xff\x00broken", &[]);
        assert!(!said.kept.unwrap().contains('\0'));
        assert!(!reason(r#"{"details":"a\u0000b"}"#).contains('\0'));
    }

    #[test]
    fn a_token_echoed_by_a_gateway_is_cut_out() {
        let body = r#"{"message":"not a valid key=value pair in Authorization header: 'Bearer Atza|abc-1_2=' or s3cret-token"}"#;
        let said = read(body.as_bytes(), &["s3cret-token"]);
        let shown = format!("{said:?}");
        assert!(!shown.contains("abc-1") && !shown.contains("s3cret"), "{shown}");
        assert!(said.reason.contains("Bearer [token]"), "{shown}");
        assert!(!clean("refresh_token=Atzr%7Cxyz&a=b", &[]).contains("xyz"));
    }
}
