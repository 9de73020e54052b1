//! Requests and answers of both dialects. A body that is an object with `jsonrpc` is JSON-RPC, as
//! is a list; everything else is of the legacy one, which answers whatever it is sent.

use serde_json::{Map, Value, json};

use crate::rpc::bounded;

use super::errors::Fault;
use super::given::Given;
use super::methods::{Desk, Done, named};
use super::names;

/// Requests in one list: an answer may be long, and all of them are held together.
const BATCH_MAX: usize = 64;

/// Answers a body; none when nobody waits for an answer.
pub(super) async fn answer(desk: &Desk, body: Vec<u8>) -> Option<Vec<u8>> {
    let read = bounded::read(&body);
    // What was made of it is as long as it was.
    drop(body);
    let told = match read {
        Err(_) => legacy(None, Err(Fault::invalid(NO_METHOD))),
        Ok(Value::Array(all)) => return batch(desk, all).await,
        Ok(Value::Object(fields)) if names_jsonrpc(&fields) => rpc(desk, fields).await?,
        Ok(Value::Object(fields)) => of_legacy(desk, fields).await,
        Ok(_) => refused(Value::Null, &Fault::new(-32600, "request must be an Array or Object")),
    };
    Some(ended(told))
}

const NO_METHOD: &str = "no method name";

fn ended(mut text: Vec<u8>) -> Vec<u8> {
    text.push(b'\n');
    text
}

fn names_jsonrpc(fields: &Map<String, Value>) -> bool {
    fields.contains_key("jsonrpc")
}

async fn of_legacy(desk: &Desk, mut fields: Map<String, Value>) -> Vec<u8> {
    // Whatever it is comes back: some tools insist.
    let tag = fields.remove("tag").or_else(|| fields.remove("id")).filter(|tag| !tag.is_null());
    let Some(method) = fields.get("method").and_then(Value::as_str).map(names::plain) else {
        return legacy(tag, Err(Fault::invalid(NO_METHOD)));
    };
    let given = Given::new(fields.remove("arguments"));
    let done = desk.call(&method, given, false).await;
    legacy(tag, done.unwrap_or_else(|| Err(Fault::invalid("method name not recognized"))))
}

/// An answer in the legacy dialect: arguments and a result are always there.
fn legacy(tag: Option<Value>, done: Result<Done, Fault>) -> Vec<u8> {
    let (arguments, result) = match done {
        Ok(done) => (text_of(done, false), "success".to_owned()),
        Err(fault) => {
            let beside = fault.beside.unwrap_or_else(|| json!({}));
            (beside.to_string().into_bytes(), fault.text)
        }
    };
    let mut text = b"{\"arguments\":".to_vec();
    text.extend(arguments);
    text.extend(format!(",\"result\":{}", json!(result)).bytes());
    if let Some(tag) = tag {
        text.extend(format!(",\"tag\":{tag}").bytes());
    }
    text.push(b'}');
    text
}

fn text_of(done: Done, is_snake: bool) -> Vec<u8> {
    match done {
        Done::Text(text) => text,
        Done::Value(value) => named(value, is_snake).to_string().into_bytes(),
    }
}

async fn batch(desk: &Desk, all: Vec<Value>) -> Option<Vec<u8>> {
    let invalid = |why: &str| refused(Value::Null, &Fault::new(-32600, why));
    if all.is_empty() || all.len() > BATCH_MAX {
        let why = format!("a batch has from 1 to {BATCH_MAX} requests");
        return Some(ended(invalid(&why)));
    }
    let mut answers = Vec::new();
    for request in all {
        let answer = match request {
            Value::Object(fields) if names_jsonrpc(&fields) => rpc(desk, fields).await,
            _ => Some(invalid("request must be an Object with jsonrpc")),
        };
        answers.extend(answer);
    }
    if answers.is_empty() {
        return None;
    }
    let mut text = b"[".to_vec();
    text.extend(answers.join(&b','));
    text.push(b']');
    Some(ended(text))
}

/// The answer to one request; none to a notification.
async fn rpc(desk: &Desk, mut fields: Map<String, Value>) -> Option<Vec<u8>> {
    let invalid = |why: &str| Some(refused(Value::Null, &Fault::new(-32600, why)));
    if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return invalid("jsonrpc must be \"2.0\"");
    }
    let id = fields.remove("id");
    if id
        .as_ref()
        .is_some_and(|id| matches!(id, Value::Bool(_) | Value::Object(_) | Value::Array(_)))
    {
        return invalid("id type must be String, Number, or Null");
    }
    let Some(method) = fields.get("method").and_then(Value::as_str).map(names::plain) else {
        return Some(refused(id.unwrap_or(Value::Null), &Fault::new(-32600, "no method name")));
    };
    let given = Given::new(fields.remove("params"));
    let done = desk.call(&method, given, true).await;
    let done = done.unwrap_or_else(|| Err(Fault::new(-32601, "method name not recognized")));
    let id = id?;
    Some(match done {
        Ok(done) => {
            let mut text = format!("{{\"id\":{id},\"jsonrpc\":\"2.0\",\"result\":").into_bytes();
            text.extend(text_of(done, true));
            text.push(b'}');
            text
        }
        Err(fault) => refused(id, &fault),
    })
}

/// A refusal in JSON-RPC.
fn refused(id: Value, fault: &Fault) -> Vec<u8> {
    let message = match fault.code {
        -32700 => "Parse error",
        -32600 => "Invalid Request",
        -32601 => "Method not found",
        -32602 => "Invalid params",
        -32603 => "Internal error",
        1 => "error setting announce list",
        3 => "path is not absolute",
        4 => "unrecognized info",
        6 => "file index out of range",
        8 => "HTTP error from backend service",
        9 => "invalid or corrupt torrent file",
        10 => "blocklist cannot be updated",
        _ => "system error",
    };
    let mut data = json!({ "error_string": fault.text });
    if let Some(beside) = &fault.beside {
        data["result"] = names::snaked(beside.clone());
    }
    let error = json!({ "code": fault.code, "data": data, "message": message });
    json!({ "error": error, "id": id, "jsonrpc": "2.0" }).to_string().into_bytes()
}
