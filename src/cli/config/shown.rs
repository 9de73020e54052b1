//! A setting as it is shown: its value without secrets, and what a program is to take it for.

use std::any::TypeId;

use clap::ArgAction;
use serde_json::Value;

use crate::net::blocklist::Source;

/// One setting, escaped.
pub struct Setting {
    /// Its name, as in the config file.
    pub key: String,
    /// What it is.
    pub value: String,
    /// What a program is to take it for.
    pub kind: Kind,
    /// Where that came from.
    pub origin: String,
}

/// What a setting's value is, for programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// On or off.
    Switch,
    /// A number.
    Number,
    /// Words, or a number with a unit.
    Words,
}

impl Kind {
    pub(super) fn of(arg: &clap::Arg) -> Self {
        let id = arg.get_value_parser().type_id();
        let numbers = [
            TypeId::of::<u8>(),
            TypeId::of::<u16>(),
            TypeId::of::<u32>(),
            TypeId::of::<u64>(),
            TypeId::of::<usize>(),
            TypeId::of::<f64>(),
        ];
        match arg.get_action() {
            ArgAction::SetTrue | ArgAction::SetFalse => Self::Switch,
            ArgAction::Count => Self::Number,
            _ if id == TypeId::of::<bool>() => Self::Switch,
            _ if numbers.into_iter().any(|number| id == number) => Self::Number,
            _ => Self::Words,
        }
    }
}

impl Setting {
    /// Its value as JSON: null where there is none, words where it is no number.
    pub fn json(&self) -> Value {
        let read = || serde_json::from_str(&self.value).ok();
        match self.kind {
            _ if self.value == "-" => Value::Null,
            Kind::Switch => read().filter(Value::is_boolean).unwrap_or_else(|| self.words()),
            Kind::Number => read().filter(Value::is_number).unwrap_or_else(|| self.words()),
            Kind::Words => self.words(),
        }
    }

    fn words(&self) -> Value {
        Value::from(self.value.as_str())
    }
}

/// A value as it may be shown.
pub(super) fn without_secrets(id: &str, value: String) -> String {
    match id {
        "proxy" => without_login(&value),
        "blocklist" => Source::parse(&value).map_or(value, |source| source.to_string()),
        _ => value,
    }
}

/// A URL without the name and password in it.
fn without_login(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
        _ => url.to_owned(),
    }
}
