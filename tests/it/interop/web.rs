//! Files from nginx, as distributions serve them: names that need care in URLs, pads and empty
//! files, limits, redirects, compression, files that differ, TLS, and very many small files
//! (BEP 19, 47). nginx listens on loopback only, one process for each test.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{DOWNLOAD, asked_for};
use crate::payload::Payload;
use crate::process::{Process, driver};
use crate::web::{assert_comes, download, metalink, sha1_hex, with_web_seeds};

/// For nginx to listen.
const READY: Duration = Duration::from_secs(20);
const MIB: u64 = 1 << 20;
/// Bytes of one of ten files, eight pieces and a bit.
const SMALL: u64 = (128 << 10) + 3;

/// A running nginx; it ends when the test leaves.
struct Nginx {
    process: Process,
    port: u16,
    home: PathBuf,
}

/// What nginx logs of one request.
#[derive(Debug)]
struct Request {
    uri: String,
    status: u16,
    /// `-` for none.
    range: String,
    /// `-` for none.
    encoding: String,
}

impl Nginx {
    /// One that serves `root`, with more lines for its `http` and `server` blocks; `PORT` in those
    /// is its port.
    fn start(root: &Path, http: &str, server: &str) -> Self {
        let home = root.parent().expect("a folder above").join("nginx");
        fs::create_dir_all(&home).expect("make a folder for nginx");
        let port = free_port();
        let tls = if server.contains("ssl_certificate") { " ssl" } else { "" };
        let (here, root) = (home.display(), root.display());
        let config = format!(
            "daemon off;\nmaster_process off;\npid {here}/pid;\nerror_log {here}/errors.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{\n\
             log_format asked '$request_uri\t$status\t$http_range\t$sent_http_content_encoding';\n\
             access_log {here}/access.log asked;\n\
             client_body_temp_path {here}/t1; proxy_temp_path {here}/t2;\n\
             fastcgi_temp_path {here}/t3; uwsgi_temp_path {here}/t4; scgi_temp_path {here}/t5;\n\
             default_type application/octet-stream; sendfile on;\n\
             {http}\n\
             server {{ listen 127.0.0.1:PORT{tls}; root {root};\n{server}\n}}\n}}\n"
        );
        fs::write(home.join("nginx.conf"), config.replace("PORT", &port.to_string()))
            .expect("write nginx.conf");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&home).arg("-c").arg(home.join("nginx.conf"));
        command.arg("-e").arg(home.join("errors.log"));
        let mut process = Process::start("nginx", command, &home);
        let deadline = Instant::now() + READY;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let words = process.last_words();
            assert!(process.ended().is_none(), "nginx does not run: {words}");
            assert!(Instant::now() < deadline, "nginx does not listen: {words}");
            // There is nothing to await.
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { process, port, home }
    }

    /// The URL of a path.
    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Ends it, and tells what it was asked for.
    fn end(mut self) -> Vec<Request> {
        self.process.kill();
        let log = fs::read_to_string(self.home.join("access.log")).expect("read the access log");
        let request = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [uri, status, range, encoding] = fields[..] else { panic!("odd line {line:?}") };
            Request {
                uri: uri.to_owned(),
                status: status.parse().expect("a status"),
                range: range.to_owned(),
                encoding: encoding.to_owned(),
            }
        };
        log.lines().map(request).collect()
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind to any port");
    listener.local_addr().expect("its address").port()
}

/// A folder for a test, and below it the folder that nginx serves.
fn folders() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().expect("a folder for the test");
    let root = home.path().join("root");
    fs::create_dir(&root).expect("make the served folder");
    (home, root)
}

fn count(requests: &[Request], is_it: impl Fn(&Request) -> bool) -> usize {
    requests.iter().filter(|request| is_it(request)).count()
}

/// Makes a torrent of `path`.
fn create(home: &Path, path: &Path, more: &[&str]) -> PathBuf {
    let torrent = home.join("made.torrent");
    let mut command = driver(home);
    command.arg("create").arg(path).arg("-o").arg(&torrent).args(more);
    let mut made = Process::start("create", command, home);
    let status = made.wait(DOWNLOAD);
    assert!(status.success(), "create ended with {status}:\n{}", made.last_words());
    torrent
}

#[test]
fn a_single_file_by_its_url_or_by_that_of_its_folder() {
    if !asked_for("nginx") {
        return;
    }
    let (home, root) = folders();
    let payload = Payload::new(1, "pool", 64 << 10, &[("one file.bin", 9 * MIB + 7)]);
    payload.write_to(&root);
    let file = root.join("pool/one file.bin");
    fs::copy(&file, root.join("other-name")).expect("copy the file");
    let nginx = Nginx::start(&root, "", "");
    for (number, path) in ["pool/", "other-name"].into_iter().enumerate() {
        let home = home.path().join(number.to_string());
        fs::create_dir(&home).expect("make a home");
        let torrent = create(&home, &file, &["-w", &nginx.url(path)]);
        let (status, output) = download(&home, &torrent, &[]);
        assert!(status.success(), "{path}: {status}:\n{output}");
        let came = fs::read(home.join("data/one file.bin")).expect("read what came");
        assert!(came == fs::read(&file).expect("read the file"), "{path}: other bytes");
    }
    let requests = nginx.end();
    assert!(requests.iter().all(|it| matches!(it.status, 200 | 206)), "{requests:#?}");
    assert!(requests.iter().any(|it| it.uri == "/pool/one%20file.bin"), "{requests:#?}");
}

#[test]
fn names_that_need_care_in_urls() {
    if !asked_for("nginx") {
        return;
    }
    let (home, root) = folders();
    let files = [
        ("a b#c?d+e%41.bin", 700_001),
        ("ünï cödé/日本.bin", 300_000),
        ("a&b=c/x;y:z@!$'()*,.bin", 1),
        ("empty", 0),
        ("[1] {2} |3| ^4~.bin", 2 * MIB),
        ("double\"quote\".bin", 50_000),
    ];
    let payload = Payload::new(2, "odd & name #1", 32 << 10, &files);
    payload.write_to(&root);
    let nginx = Nginx::start(&root, "", "");
    // With and without a slash at its end it is the folder above the torrent's name.
    assert_comes(home.path(), &payload, &[&nginx.url("")], &[]);
    let requests = nginx.end();
    assert!(requests.iter().all(|it| matches!(it.status, 200 | 206)), "{requests:#?}");
    let encoded = "/odd%20%26%20name%20%231/a%20b%23c%3Fd%2Be%2541.bin";
    assert!(requests.iter().any(|it| it.uri == encoded), "{requests:#?}");
    assert_eq!(count(&requests, |it| it.uri.ends_with("/empty")), 0);
}

#[test]
fn a_name_that_is_cleaned_for_the_disk_is_asked_for_as_it_is() {
    if !asked_for("nginx") {
        return;
    }
    let (home, root) = folders();
    let payload = Payload::new(12, "raw", 32 << 10, &[("back\\slash", 100_000)]);
    payload.write_to(&root);
    let nginx = Nginx::start(&root, "", "");
    let torrent = home.path().join("raw.torrent");
    fs::write(&torrent, payload.torrent(None)).expect("write the torrent");
    let (status, output) = download(home.path(), &torrent, &["-w", &nginx.url("")]);
    assert!(status.success(), "driver ended with {status}:\n{output}");
    let mut came = fs::read_dir(home.path().join("data/raw")).expect("read the folder");
    let came = came.next().expect("a file").expect("read the folder").path();
    let bytes = |path: &Path| fs::read(path).expect("read a file");
    assert!(bytes(&came) == bytes(&root.join("raw/back\\slash")), "other bytes");
    assert!(nginx.end().iter().all(|it| it.uri == "/raw/back%5Cslash"));
}

#[test]
fn pads_and_empty_files_are_not_asked_for() {
    if !asked_for("nginx") {
        return;
    }
    let (home, root) = folders();
    let files = [("a", 100_001), ("b", 0), ("c/d", 3 * MIB + 1), ("e", 17)];
    let payload = Payload::new(3, "padded", 32 << 10, &files);
    payload.write_to(&root);
    let nginx = Nginx::start(&root, "", "");
    let url = nginx.url("");
    let torrent =
        create(home.path(), &root.join("padded"), &["--hybrid", "-p", "32KiB", "-w", &url]);
    let (status, output) = download(home.path(), &torrent, &[]);
    assert!(status.success(), "driver ended with {status}:\n{output}");
    payload.assert_same(&home.path().join("data"));
    let requests = nginx.end();
    assert!(requests.iter().all(|it| matches!(it.status, 200 | 206)), "{requests:#?}");
    assert_eq!(count(&requests, |it| it.uri.contains("pad/") || it.uri.ends_with("/b")), 0);
}

#[test]
fn limits_of_rate_and_connections_are_lived_with() {
    if !asked_for("nginx") {
        return;
    }
    let (home, root) = folders();
    let payload = Payload::new(4, "limited", 256 << 10, &[("x", 24 * MIB), ("y", 8 * MIB)]);
    payload.write_to(&root);
    let zone = "limit_conn_zone $binary_remote_addr zone=all:1m;";
    let nginx = Nginx::start(&root, zone, "limit_conn all 2; limit_rate 2m;");
    let output = assert_comes(home.path(), &payload, &[&nginx.url("")], &[]);
    let requests = nginx.end();
    let refused = count(&requests, |it| it.status == 503);
    assert!(refused <= 8, "refused {refused} times: {requests:#?}\n{output}");
}

#[test]
fn redirects_are_followed_and_remembered() {
    if !asked_for("nginx") {
        return;
    }
    let (home, root) = folders();
    let payload = Payload::new(5, "moved", 128 << 10, &[("x", 20 * MIB), ("y z", 5 * MIB)]);
    payload.write_to(&root.join("there"));
    let nginx = Nginx::start(&root, "", "rewrite ^/here/(.*)$ /there/$1 redirect;");
    assert_comes(home.path(), &payload, &[&nginx.url("here/")], &[]);
    let requests = nginx.end();
    let redirects = count(&requests, |it| it.status == 302);
    // Links that begin at the same moment may each ask once.
    assert!((2..=16).contains(&redirects), "{redirects} redirects: {requests:#?}");
    assert!(requests.iter().all(|it| matches!(it.status, 200 | 206 | 302)), "{requests:#?}");
}

#[test]
fn nothing_comes_compressed() {
    if !asked_for("nginx") {
        return;
    }
    let (home, root) = folders();
    let folder = root.join("texts");
    fs::create_dir(&folder).expect("make a folder");
    let text = "all work and no play makes jack a dull boy\n".repeat(50_000);
    fs::write(folder.join("a.txt"), &text).expect("write a text");
    let gzip = "gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any; types {}";
    let nginx = Nginx::start(&root, gzip, "");
    let torrent = create(home.path(), &folder, &["-w", &nginx.url("")]);
    let (status, output) = download(home.path(), &torrent, &[]);
    assert!(status.success(), "driver ended with {status}:\n{output}");
    let came = fs::read_to_string(home.path().join("data/texts/a.txt")).expect("read the text");
    assert!(came == text, "other bytes");
    let requests = nginx.end();
    assert!(requests.iter().all(|it| it.encoding == "-"), "{requests:#?}");
}

/// Ten files at a server that has another one among them: all others come from it, and that one
/// from another server in a second run. What was asked for, and what the first run printed.
fn differing(spoil: impl Fn(&Path)) -> (Vec<Request>, String) {
    let (home, root) = folders();
    let names: Vec<String> = (0..10).map(|number| format!("f{number}")).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), SMALL)).collect();
    let payload = Payload::new(6, "ten", 16 << 10, &files);
    for folder in ["good", "bad"] {
        payload.write_to(&root.join(folder));
    }
    spoil(&root.join("bad/ten/f4"));
    // On loopback all of a file would be here before its first piece is hashed. nginx sends what
    // may pass in a second at once, which is three pieces.
    let nginx = Nginx::start(&root, "", "limit_rate 48k;");
    let torrent = home.path().join("payload.torrent");
    fs::write(&torrent, payload.torrent(None)).expect("write the torrent");
    let bad = nginx.url("bad/");
    let (status, output) = download(home.path(), &torrent, &["-w", &bad, "--timeout", "5s"]);
    assert_eq!(status.code(), Some(4), "{output}");
    let data = home.path().join("data");
    for name in names.iter().filter(|name| !["f3", "f4", "f5"].contains(&name.as_str())) {
        assert!(data.join("ten").join(name).exists(), "{name} is not whole:\n{output}");
    }
    let (status, more) = download(home.path(), &torrent, &["-w", &nginx.url("good/")]);
    assert!(status.success(), "driver ended with {status}:\n{more}");
    payload.assert_same(&data);
    (nginx.end(), output)
}

#[test]
fn a_file_of_another_length_is_left_out_before_a_byte_of_it_counts() {
    if !asked_for("nginx") {
        return;
    }
    let (requests, output) = differing(|file| {
        let file = fs::OpenOptions::new().append(true).open(file).expect("open a file");
        file.set_len(SMALL + 4).expect("make it longer");
    });
    assert_eq!(output.matches("\"hash_failed\"").count(), 0, "{output}");
    assert!(output.contains("another file: 4 bytes longer there"), "{output}");
    let asked = count(&requests, |it| it.uri == "/bad/ten/f4");
    assert!((1..=8).contains(&asked), "asked {asked} times: {requests:#?}");
}

#[test]
fn a_file_of_other_bytes_costs_few_pieces() {
    if !asked_for("nginx") {
        return;
    }
    let (_, output) = differing(|file| {
        fs::write(file, vec![7; SMALL as usize]).expect("write other bytes");
    });
    let failed = output.matches("\"hash_failed\"").count();
    assert!((2..=8).contains(&failed), "{failed} pieces failed: {output}");
    assert!(output.contains("it sends other bytes"), "{output}");
}

#[test]
fn tls_with_an_authority_of_ones_own() {
    if !asked_for("nginx") {
        return;
    }
    let (home, root) = folders();
    let payload = Payload::new(7, "secret", 64 << 10, &[("x", 6 * MIB), ("y", 1)]);
    payload.write_to(&root);
    let certificates = home.path().join("certificates");
    make_certificates(&certificates);
    let shown = certificates.display();
    let server =
        format!("ssl_certificate {shown}/server.pem; ssl_certificate_key {shown}/server.key;");
    let nginx = Nginx::start(&root, "", &server);
    let url = format!("https://localhost:{}/", nginx.port);
    let torrent = home.path().join("payload.torrent");
    fs::write(&torrent, payload.torrent(None)).expect("write the torrent");
    // Nobody vouches for it.
    let stranger = home.path().join("stranger");
    let (status, output) = download(&stranger, &torrent, &["-w", &url, "--timeout", "3s"]);
    assert_eq!(status.code(), Some(4), "{output}");
    assert!(output.contains("no TLS with it"), "{output}");
    assert!(!stranger.join("data/secret/x").exists());
    let authority = certificates.join("ca.pem");
    let authority = authority.to_str().expect("a plain path");
    let (status, output) = download(home.path(), &torrent, &["-w", &url, "--ca", authority]);
    assert!(status.success(), "driver ended with {status}:\n{output}");
    payload.assert_same(&home.path().join("data"));
    nginx.end();
}

/// An authority, and a certificate of it for localhost.
fn make_certificates(dir: &Path) {
    fs::create_dir(dir).expect("make a folder");
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(dir);
        let made = command.stdin(Stdio::null()).output().expect("run openssl");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "openssl {arguments}: {said}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=test-authority"));
    openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=localhost"));
    fs::write(dir.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        .expect("write the names");
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
         -extfile names -out server.pem",
    );
}

#[test]
fn twenty_thousand_small_files() {
    const COUNT: usize = 20_000;
    if !asked_for("nginx") {
        return;
    }
    let (home, root) = folders();
    let names: Vec<String> =
        (0..COUNT).map(|number| format!("d{}/f{number}", number % 200)).collect();
    let files: Vec<(&str, u64)> =
        (0..COUNT).map(|number| (names[number].as_str(), 500 + number as u64 % 1500)).collect();
    let payload = Payload::new(8, "small", 64 << 10, &files);
    payload.write_to(&root);
    let nginx = Nginx::start(&root, "", "keepalive_requests 1000;");
    let torrent = home.path().join("payload.torrent");
    fs::write(&torrent, with_web_seeds(&payload, &[&nginx.url("")])).expect("write the torrent");
    let (status, output) = download(home.path(), &torrent, &[]);
    // A slow device may not have taken so many files in the few seconds that an end lasts, which is
    // told (5).
    assert!(matches!(status.code(), Some(0 | 5)), "driver ended with {status}:\n{output}");
    assert!(output.contains("\"event\":\"completed\""), "{output}");
    payload.assert_same(&home.path().join("data"));
    let requests = nginx.end();
    assert!(requests.iter().all(|it| matches!(it.status, 200 | 206)), "some failed");
    // Files that lie in two pieces may be asked for twice.
    assert!(requests.len() < COUNT * 5 / 4, "{} requests", requests.len());
    let ranges = count(&requests, |it| it.range != "-");
    assert!(ranges < requests.len(), "whole files are asked for without a range");
}

/// The `pieces` of a file.
fn pieces(bytes: &[u8], len: usize) -> String {
    let hash = |piece: &[u8]| format!("<hash>{}</hash>", sha1_hex(piece));
    let hashes: String = bytes.chunks(len).map(hash).collect();
    format!("<pieces length=\"{len}\" type=\"sha-1\">{hashes}</pieces>")
}

#[test]
fn a_metalink_with_pieces_comes_from_all_its_mirrors() {
    if !asked_for("nginx") {
        return;
    }
    let (home, root) = folders();
    let payload = Payload::new(9, "m", 64 << 10, &[("good.iso", 8 * MIB + 5)]);
    payload.write_to(&root);
    let bytes = fs::read(root.join("m/good.iso")).expect("read the file");
    fs::write(root.join("short.iso"), &bytes[..bytes.len() - 9]).expect("write a shorter one");
    let nginx = Nginx::start(&root, "", "");
    let (good, short) = (nginx.url("m/good.iso"), nginx.url("short.iso"));
    let inner = format!(
        "<size>{}</size><hash type=\"sha-1\">{}</hash>{}\
         <url priority=\"1\">{short}</url><url priority=\"2\">{good}</url>",
        bytes.len(),
        sha1_hex(&bytes),
        pieces(&bytes, 256 << 10),
    );
    let path = metalink(home.path(), "dir/a.iso", &inner);
    let (status, output) = download(home.path(), &path, &[]);
    assert!(status.success(), "driver ended with {status}:\n{output}");
    let came = fs::read(home.path().join("data/dir/a.iso")).expect("read what came");
    assert!(came == bytes, "other bytes");
    assert!(output.contains("\"event\":\"file_hash\"") && output.contains("\"right\":true"));
    assert!(output.contains("9 bytes shorter there"), "{output}");
    nginx.end();
}

#[test]
fn a_metalink_with_a_torrent_names_exact_mirrors_of_one_of_its_files() {
    if !asked_for("nginx") {
        return;
    }
    let (home, root) = folders();
    let files = [("a/x", 300_000), ("b.iso", 3 * MIB + 1), ("c", 70_000)];
    let payload = Payload::new(10, "set", 32 << 10, &files);
    payload.write_to(&root);
    let bytes = fs::read(root.join("set/b.iso")).expect("read the file");
    fs::write(root.join("elsewhere"), &bytes).expect("copy the file");
    fs::write(root.join("set.torrent"), payload.torrent(None)).expect("write the torrent");
    let nginx = Nginx::start(&root, "", "");
    let inner = format!(
        "<size>{}</size><hash type=\"sha-1\">{}</hash><url>{}</url>\
         <metaurl mediatype=\"torrent\" name=\"b.iso\">{}</metaurl>",
        bytes.len(),
        "00".repeat(20),
        nginx.url("elsewhere"),
        nginx.url("set.torrent"),
    );
    let path = metalink(home.path(), "b.iso", &inner);
    // Pieces that the file shares with its neighbours come from nobody but who has those.
    let folder = nginx.url("");
    let (status, output) = download(home.path(), &path, &["-w", &folder]);
    let came = fs::read(home.path().join("data/set/b.iso")).expect("read what came");
    assert!(came == bytes, "other bytes");
    // The pieces are right, and the hash of the whole file is not.
    assert_eq!(status.code(), Some(6), "{output}");
    assert!(output.contains("\"right\":false"), "{output}");
    assert!(!home.path().join("data/set/c").exists(), "only one file was meant");
    nginx.end();
}

#[test]
fn a_metalink_with_one_hash_comes_from_one_mirror_and_then_the_other() {
    if !asked_for("nginx") {
        return;
    }
    let (home, root) = folders();
    let payload = Payload::new(11, "w", 64 << 10, &[("right", MIB + 3)]);
    payload.write_to(&root);
    let bytes = fs::read(root.join("w/right")).expect("read the file");
    fs::write(root.join("wrong"), vec![1; bytes.len()]).expect("write another one");
    let nginx = Nginx::start(&root, "", "");
    let (wrong, right) = (nginx.url("wrong"), nginx.url("w/right"));
    let inner = |hash: &str| {
        format!(
            "<size>{}</size><hash type=\"sha-1\">{hash}</hash>\
             <url priority=\"1\">{wrong}</url><url priority=\"2\">{right}</url>",
            bytes.len(),
        )
    };
    let path = metalink(home.path(), "whole.bin", &inner(&sha1_hex(&bytes)));
    let (status, output) = download(home.path(), &path, &[]);
    assert!(status.success(), "driver ended with {status}:\n{output}");
    assert!(output.contains("its SHA-1 is wrong"), "{output}");
    let came = fs::read(home.path().join("data/whole.bin")).expect("read what came");
    assert!(came == bytes, "other bytes");
    let other = home.path().join("other");
    fs::create_dir(&other).expect("make a home");
    let path = metalink(&other, "whole.bin", &inner(&"11".repeat(20)));
    let (status, output) = download(&other, &path, &[]);
    assert_eq!(status.code(), Some(6), "{output}");
    assert!(!other.join("data/whole.bin").exists() && !other.join("data/whole.bin.part").exists());
    let requests = nginx.end();
    for uri in ["/wrong", "/w/right"] {
        assert!(count(&requests, |it| it.uri == uri) >= 2, "{requests:#?}");
    }
}
