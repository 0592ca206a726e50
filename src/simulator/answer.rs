//! One answer, before any fault has touched it.

use serde_json::{Value, json};

/// What an operation answers.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Payload,
}

/// The body of an [`Answer`].
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// JSON, sent with the operation's own media type.
    Json(Value),
    /// Anything else, with its media type.
    Raw(&'static str, Vec<u8>),
    /// A file that may be compressed on its way out.
    File(Vec<u8>),
}

impl Answer {
    /// 200 with JSON.
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, headers: Vec::new(), body: Payload::Json(body) }
    }

    /// Amazon's error body: the status as a text, and a sentence.
    pub(crate) fn error(status: u16, details: &str) -> Self {
        let body = json!({"code": status.to_string(), "details": details});
        Self { status, headers: Vec::new(), body: Payload::Json(body) }
    }

    /// The error body of the gateway in front of AMC.
    pub(crate) fn gateway(status: u16, message: &str, kind: &str) -> Self {
        let body = Payload::Json(json!({"message": message}));
        Self { status, headers: vec![("x-amzn-errortype", kind.to_owned())], body }
    }

    /// A page for people, as proxies send it.
    pub(crate) fn html(status: u16, title: &str) -> Self {
        let page = format!(
            "<html><head><title>{title}</title></head>\r\n<body><center><h1>{title}</h1></center>\
             <hr><center>openresty</center></body></html>\r\n"
        );
        Self { status, headers: Vec::new(), body: Payload::Raw("text/html", page.into_bytes()) }
    }

    /// The storage's error body.
    pub(crate) fn xml(status: u16, code: &str, message: &str) -> Self {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
             <Message>{message}</Message></Error>"
        );
        Self { status, headers: Vec::new(), body: Payload::Raw("application/xml", text.into()) }
    }

    pub(crate) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }
}
