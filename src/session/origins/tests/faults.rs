//! Servers that do otherwise than they should.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Everything comes from a server that answers so, over so many connections at least.
async fn comes(
    spec: Spec,
    behaviour: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> MockWeb {
    let rig = Rig::new(spec);
    let server = rig.serve(behaviour);
    let mut link = rig.link(&server).await;
    let ended = rig.fetch(&mut link, rig.all()).await;
    let all = (rig.spec.piece_count(), RunEnd::Done, 0);
    assert_eq!((ended.at, ended.why, ended.wrong), all);
    link.close().await;
    assert_eq!(rig.config.pool.in_use_blocks(), 0);
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_from_servers_with_ways_of_their_own() {
    // A whole file whose length is not told may be any, so that parts are asked for.
    let server = comes(several(), |_| Reply::Chunked(1000)).await;
    let requests = server.requests();
    assert_eq!((requests.len(), ranges(&requests).len()), (5, 4));
    assert_eq!(comes(several(), |_| Reply::Chunked(1)).await.requests().len(), 5);
    assert_eq!(comes(several(), |_| Reply::Last).await.connections(), 4);
    assert_eq!(comes(several(), |_| Reply::ThenClose).await.connections(), 4);
    assert_eq!(comes(single(), |_| Reply::Whole).await.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_shorter_than_asked_for_is_gone_on_from() {
    let rig = Rig::new(single());
    let server = rig.serve(|_| Reply::Short(100_000));
    let mut link = rig.link(&server).await;
    // Not the whole file, which is asked for without a range.
    let run = rig.run(1, 6);
    assert_eq!(rig.fetch(&mut link, run).await, rig.done(run));
    let piece = u64::from(PIECE_LEN);
    let begins = [0, 1, 2, 3].map(|part| piece + part * 100_000);
    assert_eq!(ranges(&server.requests()), begins.map(|begin| (begin, 6 * piece - 1)));
    assert_eq!(server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_server_that_ends_its_connections_gives_parts() {
    let rig = Rig::new(single());
    let server = rig.serve(|_| Reply::Old);
    let mut link = rig.link(&server).await;
    for run in [rig.run(2, 4), rig.run(5, 6)] {
        assert_eq!(rig.fetch(&mut link, run).await, rig.done(run));
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_is_made_anew_and_nothing_comes_twice() {
    let rig = Rig::new(single());
    let server = rig.serve(|request| match request.number {
        0 | 1 => Reply::BreakAfter(100_000),
        2 => Reply::Close,
        _ => Reply::Honest,
    });
    let mut link = rig.link(&server).await;
    let run = rig.run(1, 8);
    assert_eq!(rig.fetch(&mut link, run).await, rig.done(run));
    let begin = u64::from(PIECE_LEN);
    let begins = [begin, begin + 100_000, begin + 200_000, begin + 200_000];
    let last = 8 * begin - 1;
    assert_eq!(ranges(&server.requests()), begins.map(|begin| (begin, last)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_more_than_a_server_has_room_for_ends_alone() {
    let rig = Rig::new(single());
    let server = rig.serve(|request| match request.number {
        1 => Reply::status("503 Service Unavailable"),
        _ => Reply::Honest,
    });
    let (mut first, mut second) = (rig.link(&server).await, rig.link(&server).await);
    let run = rig.run(0, 2);
    assert_eq!(rig.fetch(&mut first, run).await, rig.done(run));
    second.order(LinkCommand::Fetch(rig.run(2, 4))).await;
    // Without a word against the server.
    assert_eq!(second.down().await, DownReason::NoRoom);
    let run = rig.run(2, 4);
    assert_eq!(rig.fetch(&mut first, run).await, rig.done(run));
    let mut third = rig.dial(&server.url("/pub/"), NamedBy::User);
    first.close().await;
    third.is_up().await;
    third.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_without_a_byte_end_the_link() {
    let rig = Rig::new(single());
    let server = rig.serve(|_| Reply::Close);
    let mut link = rig.link(&server).await;
    link.order(LinkCommand::Fetch(rig.all())).await;
    assert_eq!(link.down().await, DownReason::Lost("it closed the connection".to_owned()));
    assert_eq!(server.requests().len(), 2, "once more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_we_end_ourselves_are_no_breaks() {
    let rig = Rig::new(single());
    let (asked, mut requests) = mpsc::channel(8);
    let server = rig.serve(move |request| {
        let _ = asked.try_send(());
        if request.number < 3 { Reply::StallAfter(0) } else { Reply::Honest }
    });
    let mut link = rig.link(&server).await;
    for _ in 0..3 {
        link.order(LinkCommand::Fetch(rig.all())).await;
        timeout(Duration::from_secs(20), requests.recv()).await.expect("it is asked");
        // Much more is to come than is worth reading.
        link.order(LinkCommand::Shorten(0)).await;
        let ended = rig.end_of_run(&mut link).await;
        assert_eq!(ended, Ended { at: 0, why: RunEnd::Done, blocks: 0, wrong: 0 });
    }
    let run = rig.all();
    assert_eq!(rig.fetch(&mut link, run).await, rig.done(run));
    assert_eq!(server.connections(), 4);
    link.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_never_comes_is_not_asked_for_in_a_loop() {
    let rig = Rig::impatient(single());
    let empty = b"HTTP/1.0 206 P\r\nContent-Range: bytes 0-65535/655365\r\n\r\n".to_vec();
    let server = MockWeb::start(Vec::new(), move |request| match request.place {
        0 => Reply::Raw(empty.clone()),
        _ => Reply::Close,
    });
    let mut link = rig.link(&server).await;
    link.order(LinkCommand::Fetch(rig.run(0, 1))).await;
    let reason = link.down().await;
    assert!(matches!(reason, DownReason::TimedOut(_) | DownReason::Lost(_)), "{reason:?}");
    assert!(server.requests().len() <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_bring_next_to_nothing_are_not_asked_for_without_end() {
    let empty = |request: &Request| {
        let (first, last) = request.range().unwrap();
        let head = "HTTP/1.1 206 P\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes";
        Reply::Raw(format!("{head} {first}-{last}/655365\r\n\r\n0\r\n\r\n").into_bytes())
    };
    type Behaviour = fn(&Request) -> Reply;
    let meagre: [Behaviour; 2] = [|_| Reply::Short(1), |_| Reply::BreakAfter(1000)];
    for behaviour in meagre.into_iter().chain([empty as Behaviour]) {
        let rig = Rig::new(single());
        let server = rig.serve(move |request| match request.number {
            0 => Reply::Honest,
            _ => behaviour(request),
        });
        let mut link = rig.link(&server).await;
        let run = rig.run(1, 2);
        assert_eq!(rig.fetch(&mut link, run).await, rig.done(run));
        link.order(LinkCommand::Fetch(rig.run(2, 4))).await;
        let reason = link.down().await;
        assert!(matches!(reason, DownReason::Lost(_)), "{reason:?}");
        let requests = server.requests().len();
        assert!(requests <= 4, "{requests}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_ends_the_link() {
    let rig = Rig::impatient(single());
    for (reply, why) in [
        (Reply::Silence, "it did not answer"),
        (Reply::StallAfter(70_000), "it was silent in the middle of a file"),
    ] {
        let server = rig.serve(move |_| reply.clone());
        let mut link = rig.link(&server).await;
        link.order(LinkCommand::Fetch(rig.run(1, 9))).await;
        let reason = loop {
            match link.next().await {
                LinkNews::Down(reason) => break reason,
                LinkNews::Events(_) => {}
                news => panic!("{news:?}"),
            }
        };
        assert_eq!(reason, DownReason::TimedOut(why));
    }
}

/// What the second piece of a torrent of one file comes to.
async fn trouble(reply: Reply) -> RunEnd {
    let rig = Rig::new(single());
    let server = rig.serve(move |_| reply.clone());
    let mut link = rig.link(&server).await;
    let ended = rig.fetch(&mut link, rig.run(1, 3)).await;
    assert_eq!((ended.at, ended.blocks), (1, 0));
    ended.why
}

fn file(why: &str, rest_s: Option<u64>) -> RunEnd {
    let rest = rest_s.map(Duration::from_secs);
    RunEnd::File(FileIndex(0), Trouble { why: why.to_owned(), rest })
}

fn refused(why: &str) -> RunEnd {
    let rest = Some(Duration::from_secs(600));
    RunEnd::Refused(FileIndex(0), Trouble { why: why.to_owned(), rest })
}

fn source(why: &str, rest_s: Option<u64>) -> RunEnd {
    let rest = rest_s.map(Duration::from_secs);
    RunEnd::Source(Trouble { why: why.to_owned(), rest })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_file_or_a_source_is_told_before_a_byte_counts() {
    let says = |text: &str| Reply::Says(Some(text.to_owned()));
    for (reply, expected) in [
        (Reply::status("404 Not Found"), file("404: the file is not there", Some(3600))),
        (Reply::status("403 Forbidden"), refused("403: it refuses the file (\"no more words\")")),
        (Reply::status("401 Unauthorized"), source("401: it wants a user and a password", None)),
        (says("bytes 65536-196607/655369"), file("another file: 4 bytes longer there", None)),
        (
            says("bytes 0-131071/655365"),
            file("206: it sends another part of the file than was asked for", Some(600)),
        ),
        (
            Reply::Says(None),
            file("206: it does not say which part of the file it sends", Some(600)),
        ),
        (
            Reply::Status("200 OK", "Content-Encoding: gzip\r\n".to_owned(), vec![1; 100]),
            file("200: it compresses the file (gzip)", None),
        ),
        (Reply::Whole, RunEnd::WholeOnly(FileIndex(0))),
    ] {
        assert_eq!(trouble(reply.clone()).await, expected, "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_origin_is_asked_again_when_it_says_so_and_who_waits_knows_why() {
    let rig = Rig::new(single());
    let server = rig.serve(|request| match request.number {
        0 => {
            let fields = "Retry-After: 1\r\n".to_owned();
            Reply::Status("503 Service Unavailable", fields, b"<b>Too</b> many".to_vec())
        }
        _ => Reply::Honest,
    });
    let mut link = rig.link(&server).await;
    let run = rig.run(0, 1);
    let ended = rig.fetch(&mut link, run).await;
    let why = "503: it is busy (\"Too many\")";
    assert_eq!(ended.why, source(why, Some(1)));
    assert_eq!(link.down().await, DownReason::NoRoom);
    let mut another = rig.dial(&server.url("/pub/"), NamedBy::User);
    let LinkNews::Waits(wait) = another.next().await else { panic!("no wait") };
    assert_eq!(wait.why, why);
    assert!(wait.until.is_some());
    another.is_up().await;
    assert_eq!(rig.fetch(&mut another, run).await, rig.done(run));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_answer_end_the_link() {
    let rig = Rig::new(single());
    let server = rig.serve(|_| Reply::Raw(b"SSH-2.0-OpenSSH\r\n".to_vec()));
    let mut link = rig.link(&server).await;
    link.order(LinkCommand::Fetch(rig.all())).await;
    let reason = DownReason::Violated("it does not answer with HTTP/1".to_owned());
    assert_eq!(link.down().await, reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_a_dial_that_failed_and_the_origin_is_left_alone() {
    let rig = Rig::new(single());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/");
    let mut link = rig.dial(&url, NamedBy::User);
    let DownReason::DialFailed(why) = link.down().await else { panic!("not told") };
    assert!(why.starts_with("cannot connect to 127.0.0.1:"), "{why}");
    let mut again = rig.dial(&url, NamedBy::User);
    let LinkNews::Waits(wait) = again.next().await else { panic!("no wait") };
    assert_eq!(wait.why, why);
}

/// Reads a request to its end.
async fn hear(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_nothing_is_asked_is_no_answer() {
    let rig = Rig::new(single());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let piece = |number: u32, bytes: &[u8]| {
        let first = u64::from(number) * u64::from(PIECE_LEN);
        let last = first + u64::from(PIECE_LEN) - 1;
        let head = format!(
            "HTTP/1.1 206 P\r\nContent-Range: bytes {first}-{last}/655365\r\n\
             Content-Length: {PIECE_LEN}\r\n\r\n"
        );
        [head.as_bytes(), bytes].concat()
    };
    let right = |number| piece(number, &rig.spec.block(number, 0, PIECE_LEN));
    let mut link = rig.dial(&format!("http://{address}/pub/"), NamedBy::User);
    let (mut stream, _) = listener.accept().await.unwrap();
    link.is_up().await;
    link.order(LinkCommand::Fetch(rig.run(0, 1))).await;
    hear(&mut stream).await;
    stream.write_all(&right(0)).await.unwrap();
    assert_eq!(rig.end_of_run(&mut link).await, rig.done(rig.run(0, 1)));
    stream.write_all(&piece(1, &[0; PIECE_LEN as usize])).await.unwrap();
    // By when another connection was heard of, those bytes were, too.
    let mut other = TcpStream::connect(address).await.unwrap();
    let (mut accepted, _) = listener.accept().await.unwrap();
    accepted.write_all(b"x").await.unwrap();
    other.read_u8().await.unwrap();
    link.order(LinkCommand::Fetch(rig.run(1, 2))).await;
    let again = timeout(Duration::from_secs(20), listener.accept()).await;
    let (mut stream, _) = again.expect("a new connection").unwrap();
    hear(&mut stream).await;
    stream.write_all(&right(1)).await.unwrap();
    assert_eq!(rig.end_of_run(&mut link).await, rig.done(rig.run(1, 2)));
}
