//! What cannot be done: in the legacy dialect a text, in JSON-RPC a number beside it. The texts are
//! those of the real server where tools may know them.

use serde_json::Value;

use crate::api::Refusal;

/// Why a method did not do what it was asked for.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Fault {
    /// As JSON-RPC counts them.
    pub code: i64,
    /// In words.
    pub text: String,
    /// What is told beside it.
    pub beside: Option<Value>,
}

impl Fault {
    /// With a number of the protocol.
    pub fn new(code: i64, text: impl ToString) -> Self {
        Self { code, text: text.to_string(), beside: None }
    }

    /// With what is told all the same.
    pub fn beside(self, beside: Value) -> Self {
        Self { beside: Some(beside), ..self }
    }

    /// The arguments make no sense.
    pub fn invalid(text: impl ToString) -> Self {
        Self::new(-32602, text)
    }

    /// A path is relative.
    pub fn relative(text: impl ToString) -> Self {
        Self::new(3, text)
    }

    /// There is no file of this number.
    pub fn no_file() -> Self {
        Self::new(6, "file index out of range")
    }

    /// The trackers cannot be so.
    pub fn trackers(text: impl ToString) -> Self {
        Self::new(1, text)
    }

    /// What is not done here.
    pub fn not_here(text: impl ToString) -> Self {
        Self::new(5, text)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::new(5, refusal.error)
    }
}
