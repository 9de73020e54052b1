//! Whole numbers as JSON has them: `703.0` and `703` are one number (RFC 8259 section 6), and some
//! languages write the first.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// Doubles below hold every whole number (RFC 8259 section 6).
const DOUBLE_MAX: f64 = (1_u64 << 53) as f64;

/// A number that was read.
struct Whole<T>(T);

struct Reads<T>(PhantomData<T>);

impl<'de, T: TryFrom<u64>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // What was kept aside while a tag is looked for gives no float for an integer.
        from.deserialize_any(Reads(PhantomData)).map(Self)
    }
}

impl<T: TryFrom<u64>> Visitor<'_> for Reads<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 0 on, of {} bits", 8 * size_of::<T>())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        match number.fract() == 0.0 && (0.0..=DOUBLE_MAX).contains(&number) {
            true => self.visit_u64(number as u64),
            false => Err(E::invalid_value(Unexpected::Float(number), &self)),
        }
    }
}

/// One.
pub(super) fn one<'de, D: Deserializer<'de>, T: TryFrom<u64>>(from: D) -> Result<T, D::Error> {
    Whole::deserialize(from).map(|Whole(number)| number)
}

/// One, or null.
pub(super) fn maybe<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let read = Option::<Whole<T>>::deserialize(from)?;
    Ok(read.map(|Whole(number)| number))
}

/// Several.
pub(super) fn several<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    Ok(plain(Vec::deserialize(from)?))
}

/// Several, or null.
pub(super) fn maybe_several<'de, D, T>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    Ok(Option::deserialize(from)?.map(plain))
}

fn plain<T>(read: Vec<Whole<T>>) -> Vec<T> {
    read.into_iter().map(|Whole(number)| number).collect()
}
