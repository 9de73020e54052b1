//! How long a redirect may be kept: as long as the signature in its target is good, or as its
//! answer says (RFC 9111). Asked too often, an origin has more work with redirects than with data;
//! kept too long, its targets are links that are no longer good. Not here: the cache itself, and
//! what is done when a target fails all the same.

use std::time::{Duration, SystemTime};

use crate::base::url::Url;

use super::head::Head;

/// A redirect that says nothing is kept for so long.
pub const UNTOLD: Duration = Duration::from_secs(600);
/// One that must not be kept is so all the same for a few ranges: it is no answer for anybody else,
/// and when its target fails, the origin is asked again.
pub const LEAST: Duration = Duration::from_secs(30);
/// No word of a server is believed for longer, but for the one of a move for good.
pub const MOST: Duration = Duration::from_secs(24 * 3600);
/// A signature is used up to so long before its end: a range takes its time, and clocks differ.
pub const SIGNED_EARLY: Duration = Duration::from_secs(30);

/// How long a redirect may be used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// As long as we run: the file has moved for good.
    ForGood,
    /// For so long; not at all when zero.
    For(Duration),
}

/// How long the redirect `head` to `target` may be kept. Times are compared with the server's own
/// clock if it tells it, else with `now`.
pub fn keep(head: &Head, target: &Url, now: SystemTime) -> Keep {
    let now = head.date.unwrap_or(now);
    let until = |end: SystemTime| end.duration_since(now).unwrap_or_default().min(MOST);
    if let Some(end) = target.query().and_then(signed_until) {
        return Keep::For(until(end).saturating_sub(SIGNED_EARLY));
    }
    if matches!(head.status, 301 | 308) {
        return Keep::ForGood;
    }
    let freshness = head.freshness;
    let age = freshness.age.unwrap_or_default();
    // "If a response includes a Cache-Control header field with the max-age directive, a recipient
    // MUST ignore the Expires header field" (RFC 9111 §5.3).
    let told = match (freshness.max_age, freshness.expires) {
        _ if freshness.is_forbidden => Some(Duration::ZERO),
        (Some(max_age), _) => Some(max_age.saturating_sub(age)),
        (None, expires) => expires.map(until),
    };
    Keep::For(told.map_or(UNTOLD, |told| told.clamp(LEAST, MOST)))
}

/// Until when the signature in a query is good: those of S3 and of Google's store, in both
/// versions, of CloudFront, and of Azure.
fn signed_until(query: &str) -> Option<SystemTime> {
    let mut end: Option<SystemTime> = None;
    let (mut begin, mut len) = (None, None);
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = urlencoding::decode_binary(value.as_bytes());
        let Ok(value) = std::str::from_utf8(&value) else { continue };
        let found = match name.to_ascii_lowercase().as_str() {
            "x-amz-date" | "x-goog-date" => {
                begin = begin.or_else(|| date(value));
                None
            }
            "x-amz-expires" | "x-goog-expires" => {
                len = len.or_else(|| seconds(value));
                None
            }
            "expires" => seconds(value).and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)),
            "se" => date(value),
            _ => None,
        };
        // Of two the earlier one counts.
        end = end.into_iter().chain(found).min();
    }
    let signed = begin.zip(len).and_then(|(begin, len)| begin.checked_add(len));
    end.into_iter().chain(signed).min()
}

fn seconds(text: &str) -> Option<Duration> {
    super::head::number(text.as_bytes()).map(Duration::from_secs)
}

/// A time of ISO 8601 in UTC, short or long, to the day, the minute or the second:
/// `20261129T093858Z`, `2026-11-29T09:38Z`, `2026-11-29`.
fn date(text: &str) -> Option<SystemTime> {
    let (day, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "0000"));
    let digits = |text: &str| -> Option<Vec<u64>> {
        let kept = text.bytes().filter(|byte| !matches!(byte, b'-' | b':' | b'Z' | b'z'));
        kept.map(|byte| byte.is_ascii_digit().then(|| u64::from(byte - b'0'))).collect()
    };
    let number = |digits: &[u64]| digits.iter().fold(0, |sum, digit| sum * 10 + digit);
    let (day, time) = (digits(day)?, digits(time.split('.').next().unwrap_or_default())?);
    let [year, month, day] = match day.len() {
        8 => [&day[..4], &day[4..6], &day[6..]].map(number),
        _ => return None,
    };
    let [hour, minute, second] = match time.len() {
        4 => [number(&time[..2]), number(&time[2..]), 0],
        6 => [&time[..2], &time[2..4], &time[4..]].map(number),
        _ => return None,
    };
    let is_sound = year >= 1970
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    is_sound.then(|| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))).flatten()
}

/// Days from the beginning of 1970 to a day of the Gregorian calendar, whose year is counted from
/// March so that the odd day is its last one.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) =
        if month > 2 { (year, month - 3) } else { (year.saturating_sub(1), month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    // From March on, months have 153 days in each five.
    let days = year * 365 + leap_days + (153 * month + 2) / 5 + day;
    // The first of March of the year 0 lies so many days before 1970, that day counted.
    days.saturating_sub(719_469)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::head::HeadReader;
    use super::*;

    /// Sunday, 6 November 1994, 08:49:37, as it is in the RFC.
    const NOW: u64 = 784_111_777;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn kept(status: &str, fields: &str, target: &str) -> Keep {
        let text = format!("HTTP/1.1 {status} X\r\n{fields}\r\n");
        let (_, head) = HeadReader::new().feed(text.as_bytes()).expect("a good head");
        keep(&head.expect("a whole head"), &Url::parse(target).expect("a URL"), at(NOW))
    }

    fn seconds(seconds: u64) -> Keep {
        Keep::For(Duration::from_secs(seconds))
    }

    #[test]
    fn a_redirect_is_kept_as_its_answer_says() {
        let plain = |status: &str, fields: &str| kept(status, fields, "http://h/x?token=expires");
        assert_eq!([plain("301", ""), plain("308", "")], [Keep::ForGood; 2]);
        for status in ["302", "303", "307"] {
            assert_eq!(plain(status, ""), seconds(600));
        }
        assert_eq!(plain("302", "Cache-Control: max-age=100\r\nAge: 40\r\n"), seconds(60));
        let both = "Cache-Control: max-age=100\r\nExpires: Sun, 06 Nov 1994 09:49:37 GMT\r\n";
        assert_eq!(plain("302", both), seconds(100));
        assert_eq!(plain("302", "Expires: Sun, 06 Nov 1994 08:50:37 GMT\r\n"), seconds(60));
        for fields in [
            "Cache-Control: no-store, max-age=9\r\n",
            "Expires: 0\r\n",
            "Cache-Control: max-age=0\r\n",
        ] {
            assert_eq!(plain("302", fields), Keep::For(LEAST), "{fields}");
        }
        assert_eq!(
            plain("302", "Cache-Control: max-age=18446744073709551615\r\n"),
            Keep::For(MOST)
        );
    }

    #[test]
    fn a_signature_counts_more_than_the_answer() {
        let signed = |query: &str| {
            kept("302", "Cache-Control: no-store\r\n", &format!("https://h/x?{query}"))
        };
        let s3 =
            "X-Amz-Algorithm=A&X-Amz-Date=19941106T084907Z&X-Amz-Expires=300&X-Amz-Signature=0";
        assert_eq!(signed(s3), seconds(300 - 30 - 30));
        assert_eq!(signed(&s3.replace("Amz", "Goog")), seconds(240));
        assert_eq!(signed(&format!("Expires={}&Signature=x", NOW + 90)), seconds(60));
        assert_eq!(signed("sv=1&se=1994-11-06T08%3A51%3A37Z&sig=x"), seconds(90));
        assert_eq!(signed("se=1994-11-06T08:51Z"), seconds(53));
        assert_eq!(signed("se=1994-11-07"), seconds(15 * 3600 + 10 * 60 + 23 - 30));
        assert_eq!(signed(&format!("Expires={}", NOW + 29)), seconds(0), "of no use again");
        assert_eq!(signed(&format!("Expires={}", NOW - 29)), seconds(0));
        assert_eq!(
            signed(&format!("Expires={}&se=1994-11-06T08%3A51%3A37Z", NOW + 70)),
            seconds(40)
        );
        assert_eq!(signed("Expires=soon"), Keep::For(LEAST));
        assert_eq!(signed("Expires=18446744073709551615"), Keep::For(LEAST));
        let moved = kept("301", "", &format!("https://h/x?Expires={}", NOW + 90));
        assert_eq!(moved, seconds(60), "a move for good to a place for now");
        // By the server's own clock, which is an hour ahead.
        let dated = kept(
            "302",
            "Date: Sun, 06 Nov 1994 09:49:37 GMT\r\n",
            &format!("https://h/x?Expires={}", NOW + 3690),
        );
        assert_eq!(dated, seconds(60));
    }

    #[test]
    fn dates_are_read_in_their_forms_and_nothing_else_is() {
        assert_eq!(date("19700101T000000Z"), Some(at(0)));
        assert_eq!(date("2000-02-29T12:00:00.123Z"), Some(at(951_825_600)));
        assert_eq!(date("1994-11-06T08:49:37Z"), Some(at(NOW)));
        for text in [
            "",
            "1994",
            "1994-13-06",
            "1994-00-06",
            "1994-11-32",
            "1969-12-31",
            "199411O6",
            "1994-11-06T24:00Z",
            "1994-11-06T08:60Z",
            "1994-11-06T8Z",
            "99999999999999",
            "1994-11-06T08:49:37+01:00",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn days_agree_with_those_of_http(days in 0u64..100_000) {
            let midnight = at(days * 86_400);
            let text = httpdate::fmt_http_date(midnight);
            let parts: Vec<&str> = text.split(' ').collect();
            let month = "JanFebMarAprMayJunJulAugSepOctNovDec".find(parts[2]).unwrap() / 3 + 1;
            let short = format!("{}{month:02}{}", parts[3], parts[1]);
            prop_assert_eq!(date(&short), Some(midnight));
        }

        #[test]
        fn any_query_is_judged(query in "[!-~]{0,60}") {
            let _ = signed_until(&query);
        }
    }
}
