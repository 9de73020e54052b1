//! What a metalink lists, as a screen and as JSON. Everything in it was written by strangers.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::base::units::size;
use crate::base::url::Url;
use crate::cli::escape::{escape, shorten};
use crate::cli::metalinked::kind_name;
use crate::metalink::plan::{Way, plan};
use crate::metalink::{Listed, Metalink};
use crate::torrent::without_passkey;

use super::counted;

/// Mirrors and torrents of a file that are shown; others are counted.
const SHOWN: usize = 4;

/// The screen of `info` for a metalink.
pub fn metalink_screen(metalink: &Metalink, columns: usize) -> String {
    let mut screen = String::new();
    let mut row = |name: &str, value: &str| {
        screen += format!("{name:<12}{value}").trim_end();
        screen.push('\n');
    };
    let narrow = |text: &str| shorten(text, columns.saturating_sub(12));
    row("Metalink", &counted(metalink.files.len() as u64, "file"));
    let facts = [
        ("Generator", &metalink.generator),
        ("Published", &metalink.published),
        ("Origin", &metalink.origin),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            row(name, &narrow(value));
        }
    }
    if metalink.left_out > 0 {
        row("Left out", &counted(metalink.left_out as u64, "file"));
    }
    for file in &metalink.files {
        row("", "");
        row("File", &narrow(&file.name));
        row("Size", &file.size.map_or("not told".to_owned(), size));
        if let Some(hash) = &file.hash {
            row(kind_name(hash.kind), &HEXLOWER.encode(&hash.bytes));
        }
        row("Had by", &way_words(file));
        let shown =
            |url: &str| Url::parse(url).map_or_else(|| without_passkey(url), |url| url.to_string());
        let mirrors = file.mirrors.iter().map(|mirror| shown(&mirror.url));
        list(&mut row, "Mirrors", mirrors.collect());
        let torrents = file.torrents.iter().map(|torrent| shown(&torrent.url));
        list(&mut row, "Torrents", torrents.collect());
    }
    screen
}

fn list(row: &mut impl FnMut(&str, &str), name: &str, urls: Vec<String>) {
    let more = urls.len().saturating_sub(SHOWN);
    for (number, url) in urls.iter().take(SHOWN).enumerate() {
        row(if number == 0 { name } else { "" }, &escape(url));
    }
    if more > 0 {
        row("", &format!("and {more} more"));
    }
}

/// How it would be downloaded.
fn way_words(file: &Listed) -> String {
    match plan(file) {
        Err(why) => format!("nothing: {why}"),
        Ok(Way::Torrent { .. }) if file.mirrors.is_empty() => "its torrent".to_owned(),
        Ok(Way::Torrent { .. }) => "its torrent, with the mirrors as web seeds".to_owned(),
        Ok(Way::Pieces { .. }) => "its mirrors together, piece by piece".to_owned(),
        Ok(Way::Whole { is_judged: true, .. }) => {
            "its mirrors together, judged as a whole".to_owned()
        }
        Ok(Way::Whole { is_judged: false, .. }) => {
            "one mirror after the other; nothing says whether it is right".to_owned()
        }
    }
}

/// The same as one JSON object.
pub fn metalink_json(metalink: &Metalink) -> Value {
    let file = |file: &Listed| {
        json!({
            "name": file.name,
            "size": file.size,
            "hash": file.hash.as_ref().map(|hash| json!({
                "kind": kind_name(hash.kind),
                "value": HEXLOWER.encode(&hash.bytes),
            })),
            "pieces": file.pieces.as_ref().map(|pieces| json!({
                "kind": kind_name(pieces.kind),
                "length": pieces.piece_len,
                "count": pieces.hashes.len() / pieces.kind.hash_len(),
            })),
            "mirrors": file.mirrors.iter().map(|mirror| json!({
                "url": mirror.url,
                "priority": mirror.priority,
                "location": mirror.location,
            })).collect::<Vec<_>>(),
            "torrents": file.torrents.iter().map(|torrent| &torrent.url).collect::<Vec<_>>(),
            "magnets": file.magnets,
        })
    };
    json!({
        "files": metalink.files.iter().map(file).collect::<Vec<_>>(),
        "left_out": metalink.left_out,
        "generator": metalink.generator,
        "published": metalink.published,
        "origin": metalink.origin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metalink::read;

    #[test]
    fn each_file_is_told_with_how_it_would_be_had() {
        let text = "<metalink xmlns='urn:ietf:params:xml:ns:metalink'><generator>g</generator>\
            <file name='a'><size>3</size>\
            <hash type='sha-1'>a9993e364706816aba3e25717850c26c9cd0d89d</hash>\
            <url>http://m/a?key=1</url></file>\
            <file name='b'><metaurl mediatype='torrent'>http://t/b.torrent</metaurl></file>\
            </metalink>";
        let metalink = read(text.as_bytes()).unwrap();
        let screen = metalink_screen(&metalink, 80);
        let expected = "\
Metalink    2 files
Generator   g
";
        assert!(screen.starts_with(expected), "{screen}");
        assert!(screen.contains("SHA-1       a9993e36"), "{screen}");
        assert!(screen.contains("its mirrors together, judged as a whole"), "{screen}");
        assert!(screen.contains("Had by      its torrent\n"), "{screen}");
        assert!(screen.contains("Mirrors     http://m/a?...\n"), "{screen}");
        let json = metalink_json(&metalink);
        assert_eq!(json["files"][0]["size"], 3);
        assert_eq!(json["files"][1]["torrents"][0], "http://t/b.torrent");
    }
}
