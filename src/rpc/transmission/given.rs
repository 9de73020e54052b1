//! The arguments of a method, as softly as the real server takes them, and a little more: booleans
//! are also numbers and words, numbers are also words. What cannot be meant is as if it were not
//! there.

use serde_json::{Map, Value};

use super::names::are_one;

/// The arguments of a method.
#[derive(Clone, Debug, Default)]
pub(super) struct Given(Map<String, Value>);

impl Given {
    /// These; none when it is no object.
    pub fn new(arguments: Option<Value>) -> Self {
        match arguments {
            Some(Value::Object(fields)) => Self(fields),
            _ => Self::default(),
        }
    }

    /// What stands under a name, however that is written.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).or_else(|| {
            self.0.iter().find(|(given, _)| are_one(given, name)).map(|(_, value)| value)
        })
    }

    /// The same, taken out.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let key = self.0.keys().find(|given| are_one(given, name)).cloned()?;
        self.0.remove(&key)
    }

    /// Is it there?
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// A boolean: also `1`, `0`, `"true"` and `"false"`.
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.value(name)? {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => match number.as_i64()? {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            },
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A whole number: also `5.0` and `"5"`.
    pub fn whole(&self, name: &str) -> Option<i64> {
        whole(self.value(name)?)
    }

    /// The same from 0 on.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.whole(name).and_then(|number| u64::try_from(number).ok())
    }

    /// A number: also whole ones, and `"1.5"`.
    pub fn number(&self, name: &str) -> Option<f64> {
        let number = match self.value(name)? {
            Value::Number(number) => number.as_f64()?,
            Value::String(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        Some(number).filter(|number| number.is_finite())
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.value(name)?.as_str()
    }

    /// Several texts, or a single one; those that are none are left out.
    pub fn texts(&self, name: &str) -> Option<Vec<&str>> {
        match self.value(name)? {
            Value::String(text) => Some(vec![text]),
            Value::Array(values) => Some(values.iter().filter_map(Value::as_str).collect()),
            _ => None,
        }
    }

    /// Several whole numbers, or a single one; what is none is -1.
    pub fn numbers(&self, name: &str) -> Option<Vec<i64>> {
        match self.value(name)? {
            Value::Array(values) => {
                Some(values.iter().map(|value| whole(value).unwrap_or(-1)).collect())
            }
            value => whole(value).map(|number| vec![number]),
        }
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let number = number.as_f64().filter(|it| it.fract() == 0.0 && it.abs() < 1e15)?;
            Some(number as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_are_taken_as_they_are_meant() {
        let given = Given::new(Some(json!({
            "delete-local-data": 1, "paused": "true", "no": 2, "download_limit": "77",
            "seedRatioLimit": "1.5", "peerLimit": 55.0, "half": 5.5, "ids": [1, "2", null],
            "labels": ["a", 1, "b"], "one": "x", "huge": 1e300, "nan": "NaN",
        })));
        assert_eq!(given.flag("deleteLocalData"), Some(true));
        assert_eq!(
            (given.flag("paused"), given.flag("no"), given.flag("x")),
            (Some(true), None, None)
        );
        assert_eq!((given.whole("downloadLimit"), given.count("peer-limit")), (Some(77), Some(55)));
        assert_eq!((given.whole("half"), given.whole("huge")), (None, None));
        assert_eq!((given.number("seed_ratio_limit"), given.number("nan")), (Some(1.5), None));
        assert_eq!(given.numbers("ids"), Some(vec![1, 2, -1]));
        assert_eq!(given.texts("labels"), Some(vec!["a", "b"]));
        assert_eq!((given.texts("one"), given.text("one")), (Some(vec!["x"]), Some("x")));
        assert!(!Given::new(Some(json!([1]))).has("ids"));
    }
}
