//! Torrents of every kind and malformation, built here byte by byte: our own encoder sorts
//! keys and knows no wrong types, so it could not write most of them.

mod names;
mod v1;
mod v2;
mod written;

use super::{Error, Torrent};

/// A dictionary, its keys in the order given.
fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"d".to_vec();
    for (key, value) in entries {
        bytes.extend(text(key));
        bytes.extend(value);
    }
    bytes.push(b'e');
    bytes
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [b"l".to_vec(), items.concat(), b"e".to_vec()].concat()
}

fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [format!("{}:", text.len()).as_bytes(), text].concat()
}

fn int(number: impl std::fmt::Display) -> Vec<u8> {
    format!("i{number}e").into_bytes()
}

/// As many piece hashes as asked for, all different.
fn hashes(count: usize) -> Vec<u8> {
    text((0..count).flat_map(|piece| [piece as u8; 20]).collect::<Vec<u8>>())
}

/// One entry of a v1 file list.
fn file(length: u64, path: &[&str]) -> Vec<u8> {
    let path: Vec<_> = path.iter().map(text).collect();
    dict(&[("length", int(length)), ("path", list(&path))])
}

/// A v1 torrent of these files in pieces of 16 KiB, which must fit `length` bytes.
fn files(length: usize, files: &[Vec<u8>]) -> Vec<u8> {
    in_torrent(&dict(&[
        ("files", list(files)),
        ("name", text("t")),
        ("piece length", int(16_384)),
        ("pieces", hashes(length.div_ceil(16_384))),
    ]))
}

/// A torrent of nothing but this info dictionary.
fn in_torrent(info: &[u8]) -> Vec<u8> {
    dict(&[("info", info.to_vec())])
}

/// A single-file torrent of ten bytes with other keys in its info dictionary.
fn with_info(extra: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut entries = extra.to_vec();
    for (key, value) in [
        ("length", int(10)),
        ("name", text("t")),
        ("piece length", int(16_384)),
        ("pieces", hashes(1)),
    ] {
        if !extra.iter().any(|(name, _)| *name == key) {
            entries.push((key, value));
        }
    }
    in_torrent(&dict(&entries))
}

/// The same with other keys around the info dictionary.
fn with_outer(extra: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let plain = with_info(&[]);
    let info = plain[b"d4:info".len()..plain.len() - 1].to_vec();
    dict(&[extra, &[("info", info)]].concat())
}

fn parse(bytes: &[u8]) -> Torrent {
    Torrent::parse(bytes).unwrap_or_else(|error| panic!("{error}"))
}

/// Why a torrent is refused.
fn refusal(bytes: &[u8]) -> String {
    let error: Error = Torrent::parse(bytes).expect_err("must be refused");
    let message = error.to_string();
    assert!(!message.contains('\n'), "one line: {message}");
    message
}

/// The paths of all files that are not padding.
fn paths(torrent: &Torrent) -> Vec<&str> {
    let files = torrent.files.iter().filter(|file| !file.is_pad);
    files.map(|file| file.path.to_str().unwrap()).collect()
}
