//! The bytes of a torrent. All keys are written in their order, so that equal plans give
//! equal bytes. Not here: what bencode is for reading.

use std::collections::{BTreeMap, HashSet};

use crate::base::digest::{Sha1Hash, Sha256Hash};

use super::super::merkle;
use super::plan::SourceFile;
use super::{CreateOptions, Plan};

/// The whole torrent: what surrounds the info dictionary counts for no hash.
pub(super) fn torrent(plan: &Plan, hashes: &[Sha1Hash], nodes: &[Sha256Hash]) -> Vec<u8> {
    let info = info(plan, hashes, nodes);
    around(&info, &plan.options, |out| {
        if plan.has_v2() {
            piece_layers(out, plan, nodes);
        }
    })
}

/// What surrounds an info dictionary, with its piece layers where it has some.
pub(super) fn around(
    info: &[u8],
    options: &CreateOptions,
    layers: impl FnOnce(&mut Writer),
) -> Vec<u8> {
    let tiers = tiers(&options.trackers);
    let mut out = Writer(b"d".to_vec());
    if let Some(first) = tiers.first().and_then(|tier| tier.first()) {
        out.pair("announce", first.as_bytes());
    }
    if tiers.iter().flatten().count() > 1 {
        out.text("announce-list");
        out.list(&tiers, |out, tier| out.list(tier, |out, url| out.text(url)));
    }
    if let Some(comment) = &options.comment {
        out.pair("comment", comment.as_bytes());
    }
    if let Some(program) = &options.created_by {
        out.pair("created by", program.as_bytes());
    }
    if let Some(date) = options.creation_date {
        out.pair_number("creation date", date);
    }
    out.text("info");
    out.0.extend(info);
    layers(&mut out);
    if !options.web_seeds.is_empty() {
        out.text("url-list");
        out.list(&options.web_seeds, |out, url| out.text(url));
    }
    out.end();
    out.0
}

/// The info dictionary: what the info-hash is of.
pub(super) fn info(plan: &Plan, hashes: &[Sha1Hash], nodes: &[Sha256Hash]) -> Vec<u8> {
    let mut out = Writer(b"d".to_vec());
    let single = plan.files.first().filter(|_| plan.is_single && plan.has_v1());
    if let Some(file) = single {
        out.attributes(file);
    }
    if plan.has_v2() {
        out.text("file tree");
        file_tree(&mut out, plan, nodes);
    }
    if let Some(file) = single {
        out.pair_number("length", file.length);
    } else if plan.has_v1() {
        file_list(&mut out, plan);
    }
    if plan.has_v2() {
        out.pair_number("meta version", 2);
    }
    out.pair("name", plan.name.as_bytes());
    out.pair_number("piece length", plan.piece_length.into());
    if plan.has_v1() {
        out.pair("pieces", hashes.as_flattened());
    }
    if plan.options.private {
        out.pair_number("private", 1);
    }
    if let Some(source) = &plan.options.source {
        out.pair("source", source.as_bytes());
    }
    out.end();
    out.0
}

/// `files` of v1, with a pad file (BEP 47) behind each file that needs one.
fn file_list(out: &mut Writer, plan: &Plan) {
    out.text("files");
    out.begin(b'l');
    for (number, file) in plan.files.iter().enumerate() {
        out.begin(b'd');
        out.attributes(file);
        out.pair_number("length", file.length);
        out.text("path");
        out.list(file.path.split('/'), |out, element| out.text(element));
        out.end();
        let pad = plan.pad_behind(number);
        if pad > 0 {
            out.begin(b'd');
            out.pair("attr", b"p");
            out.pair_number("length", pad);
            out.text("path");
            out.list([".pad", pad.to_string().as_str()], |out, element| out.text(element));
            out.end();
        }
    }
    out.end();
}

/// The v2 file tree. The files are sorted by element, so that each directory is one run.
fn file_tree(out: &mut Writer, plan: &Plan, nodes: &[Sha256Hash]) {
    out.begin(b'd');
    let mut open: Vec<&str> = Vec::new();
    for (number, file) in plan.files.iter().enumerate() {
        let path = if plan.is_single { &plan.name } else { &file.path };
        let mut parents: Vec<&str> = path.split('/').collect();
        let name = parents.pop().unwrap_or(path);
        let shared = open.iter().zip(&parents).take_while(|(a, b)| a == b).count();
        (shared..open.len()).for_each(|_| out.end());
        open.truncate(shared);
        for parent in &parents[shared..] {
            out.text(parent);
            out.begin(b'd');
        }
        open = parents;
        out.text(name);
        out.begin(b'd');
        out.text("");
        out.begin(b'd');
        out.attributes(file);
        out.pair_number("length", file.length);
        if file.length > 0 {
            out.pair("pieces root", &root(plan, number, nodes));
        }
        out.end();
        out.end();
    }
    open.iter().for_each(|_| out.end());
    out.end();
}

/// The layer of each file longer than a piece, by its root; files alike share one.
fn piece_layers(out: &mut Writer, plan: &Plan, nodes: &[Sha256Hash]) {
    let numbers = 0..plan.files.len();
    let long = numbers.filter(|number| plan.files[*number].length > plan.piece_length.into());
    let layers: BTreeMap<Sha256Hash, &[Sha256Hash]> =
        long.map(|number| (root(plan, number, nodes), &nodes[plan.pieces_of(number)])).collect();
    out.text("piece layers");
    out.begin(b'd');
    for (root, layer) in layers {
        out.bytes(&root);
        out.bytes(layer.as_flattened());
    }
    out.end();
}

/// The root of a file that is not empty.
fn root(plan: &Plan, number: usize, nodes: &[Sha256Hash]) -> Sha256Hash {
    // A single node is the root already.
    merkle::root(nodes[plan.pieces_of(number)].to_vec(), plan.layer_height())
}

/// The tiers with each URL once, where it came first, and no tier empty.
fn tiers(trackers: &[Vec<String>]) -> Vec<Vec<&str>> {
    let mut seen = HashSet::new();
    let mut kept: Vec<Vec<&str>> = trackers
        .iter()
        .map(|tier| tier.iter().map(String::as_str).filter(|url| seen.insert(*url)).collect())
        .collect();
    kept.retain(|tier| !tier.is_empty());
    kept
}

pub(super) struct Writer(Vec<u8>);

impl Writer {
    fn begin(&mut self, kind: u8) {
        self.0.push(kind);
    }

    fn end(&mut self) {
        self.0.push(b'e');
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.len().to_string().as_bytes());
        self.0.push(b':');
        self.0.extend(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn pair(&mut self, key: &str, value: &[u8]) {
        self.text(key);
        self.bytes(value);
    }

    fn pair_number(&mut self, key: &str, value: u64) {
        self.text(key);
        self.0.extend(format!("i{value}e").as_bytes());
    }

    /// `attr` sorts first among the keys of a file.
    fn attributes(&mut self, file: &SourceFile) {
        if file.is_executable {
            self.pair("attr", b"x");
        }
    }

    fn list<T>(&mut self, items: impl IntoIterator<Item = T>, write: impl Fn(&mut Self, T)) {
        self.begin(b'l');
        items.into_iter().for_each(|item| write(self, item));
        self.end();
    }
}
