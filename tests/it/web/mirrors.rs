//! Metalinks of several files of one torrent, each file with mirrors of its own.

use super::*;

/// Files that meet within pieces, of which the last is shorter.
fn payload() -> Payload {
    let files = [("a", 3 * MIB + 5), ("b", 70_001), ("c", 2 * MIB + 1)];
    Payload::new(21, "p", 1 << 18, &files)
}

/// A metalink of all files, each in the torrent at this URL and at mirrors.
fn listed(home: &Path, payload: &Payload, torrent: &str, mirrors: &[Vec<String>]) -> PathBuf {
    let file = |(at, (path, bytes)): (usize, (String, Vec<u8>))| {
        let (name, len) = (&path[1..], bytes.len());
        let urls = mirrors[at].iter().map(|url| format!("<url>{url}</url>")).collect::<String>();
        format!(
            "<file name=\"{name}\"><size>{len}</size>\
             <metaurl mediatype=\"torrent\" name=\"{name}\">{torrent}</metaurl>{urls}</file>"
        )
    };
    let files: String = payload.contents().into_iter().enumerate().map(file).collect();
    let text = format!("<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">{files}</metalink>");
    let path = home.join("x.meta4");
    fs::write(&path, text).expect("write a metalink");
    path
}

/// For each file a server that has nothing else, under another name.
fn one_each(payload: &Payload, reply: &Reply) -> Vec<MockWeb> {
    let serve = |(_, bytes)| {
        let reply = reply.clone();
        MockWeb::start(vec![("/m".to_owned(), bytes)], move |_| reply.clone())
    };
    payload.contents().into_iter().map(serve).collect()
}

fn serve_torrent(payload: &Payload) -> MockWeb {
    let file = ("/p.torrent".to_owned(), payload.torrent(None));
    MockWeb::start(vec![file], |_| Reply::Honest)
}

/// All of it comes, and the torrent is asked for once.
fn assert_all_comes(home: &Path, payload: &Payload, mirrors: &[Vec<String>]) -> String {
    let server = serve_torrent(payload);
    let path = listed(home, payload, &server.url("/p.torrent"), mirrors);
    let (status, output) = download(home, &path, &[]);
    assert!(status.success(), "driver ended with {status}:\n{output}");
    payload.assert_same(&home.join("data"));
    assert_eq!(server.requests().len(), 1, "the torrent was asked for");
    output
}

#[test]
fn servers_of_one_file_each_bring_all_of_a_torrent_that_is_fetched_once() {
    let (home, payload) = (tempfile::tempdir().expect("a folder"), payload());
    let servers = one_each(&payload, &Reply::Honest);
    let mirrors: Vec<_> = servers.iter().map(|server| vec![server.url("/m")]).collect();
    assert_all_comes(home.path(), &payload, &mirrors);
    for (server, (_, bytes)) in servers.iter().zip(payload.contents()) {
        let len = |it: &Request| it.range().map_or(bytes.len() as u64, |(a, b)| b - a + 1);
        let sent: u64 = server.requests().iter().map(len).sum();
        assert_eq!(sent, bytes.len() as u64, "each byte once");
    }
}

#[test]
fn servers_of_one_file_each_that_know_no_ranges_bring_all_of_it_too() {
    let (home, payload) = (tempfile::tempdir().expect("a folder"), payload());
    let servers = one_each(&payload, &Reply::Whole);
    let mirrors: Vec<_> = servers.iter().map(|server| vec![server.url("/m")]).collect();
    assert_all_comes(home.path(), &payload, &mirrors);
}

#[test]
fn a_server_that_lacks_a_file_is_helped_out_by_the_one_that_has_it() {
    let (home, payload) = (tempfile::tempdir().expect("a folder"), payload());
    let all = MockWeb::start(payload.contents(), |request| match request.target.as_str() {
        "/p/b" => Reply::status("404 Not Found"),
        _ => Reply::Honest,
    });
    let other = one_each(&payload, &Reply::Honest).remove(1);
    let mut mirrors: Vec<_> =
        payload.contents().iter().map(|(path, _)| vec![all.url(path)]).collect();
    mirrors[1].push(other.url("/m"));
    assert_all_comes(home.path(), &payload, &mirrors);
    assert!(other.requests().iter().all(|it| it.target == "/m"));
}

#[test]
fn files_come_from_their_mirrors_unchecked_when_their_torrent_cannot_be_had() {
    let (home, payload) = (tempfile::tempdir().expect("a folder"), payload());
    let servers = one_each(&payload, &Reply::Honest);
    let mirrors: Vec<_> = servers.iter().map(|server| vec![server.url("/m")]).collect();
    let nobody = MockWeb::start(Vec::new(), |_| Reply::Honest);
    let path = listed(home.path(), &payload, &nobody.url("/p.torrent"), &mirrors);
    let mut command = driver(home.path());
    command.arg(&path).arg("-d").arg(home.path().join("data")).args(["-p", "0", "-e"]);
    let mut running = Process::start("driver", command, home.path());
    let (status, output) = (running.wait(DOWNLOAD), running.output());
    assert!(status.success(), "driver ended with {status}:\n{output}");
    payload.assert_same(&home.path().join("data"));
    assert_eq!(nobody.requests().len(), 1, "asked for once");
    assert_eq!(output.matches("404").count(), 1, "told once:\n{output}");
    assert_eq!(output.matches("begins without its torrent").count(), 3, "{output}");
}
