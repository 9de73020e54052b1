//! Where redirects lead, and where they must not.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// A server that redirects everything to the same path elsewhere, with a number that says how often
/// it has done so.
fn front(rig: &Rig, back: &MockWeb, status: &'static str) -> MockWeb {
    let address = back.address;
    let count = AtomicUsize::new(0);
    rig.serve(move |request| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let target = format!("http://{address}{}?signed={number}", request.target);
        Reply::Status(status, format!("Location: {target}\r\n"), Vec::new())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_asked_for_once_and_not_once_a_range() {
    let rig = Rig::new(single());
    let back = rig.serve(|_| Reply::Honest);
    let front = front(&rig, &back, "302 Found");
    for first in [0, 3, 6] {
        let mut link = rig.link(&front).await;
        for run in [rig.run(first, first + 1), rig.run(first + 1, first + 3)] {
            assert_eq!(rig.fetch(&mut link, run).await, rig.done(run));
        }
        link.close().await;
    }
    assert_eq!((front.requests().len(), back.requests().len()), (1, 6));
    assert_eq!((front.connections(), back.connections()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_has_expired_has_the_origin_asked_once_and_blames_nobody() {
    let page = Reply::Status("200 OK", String::new(), b"Your link is too old.".to_vec());
    let packed = Reply::Status("200 OK", "Content-Encoding: gzip\r\n".to_owned(), vec![1; 99]);
    let elsewhere = Reply::redirect("/login");
    let [refused, bad] = ["403 Forbidden", "400 Bad Request"].map(Reply::status);
    for reply in [refused, bad, page, packed, elsewhere] {
        let rig = Rig::new(single());
        // Each signature is good for two requests.
        let uses: [AtomicUsize; 8] = Default::default();
        let expired = reply.clone();
        let back = rig.serve(move |request| {
            let signed: usize = request.target.rsplit_once('=').unwrap().1.parse().unwrap();
            match uses[signed].fetch_add(1, Ordering::SeqCst) < 2 {
                true => Reply::Honest,
                false => expired.clone(),
            }
        });
        let front = front(&rig, &back, "307 Temporary Redirect");
        let mut link = rig.link(&front).await;
        for piece in 0..6 {
            let run = rig.run(piece, piece + 1);
            assert_eq!(rig.fetch(&mut link, run).await, rig.done(run), "{piece} {reply:?}");
        }
        assert_eq!(front.requests().len(), 3);
        assert_eq!(back.requests().len(), 6 + 2);
        link.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_answers_no_more_is_not_kept_for_the_next_link() {
    for reply in [Reply::Silence, Reply::Raw(b"SSH-2.0-OpenSSH\r\n".to_vec())] {
        let rig = Rig::impatient(single());
        let gone = reply.clone();
        let back =
            rig.serve(move |request| match request.target.ends_with("=0") && request.number > 0 {
                true => gone.clone(),
                false => Reply::Honest,
            });
        let front = front(&rig, &back, "302 Found");
        let mut link = rig.link(&front).await;
        assert_eq!(rig.fetch(&mut link, rig.run(0, 1)).await, rig.done(rig.run(0, 1)));
        link.order(LinkCommand::Fetch(rig.run(1, 2))).await;
        link.down().await;
        let mut another = rig.link(&front).await;
        let run = rig.run(1, 2);
        assert_eq!(rig.fetch(&mut another, run).await, rig.done(run), "{reply:?}");
        assert_eq!(front.requests().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_link_has_learnt_of_a_new_target_is_not_forgotten_by_another() {
    let rig = Rig::new(single());
    let is_over = Arc::new(AtomicBool::new(false));
    let expired = is_over.clone();
    let back = rig.serve(move |request| {
        match request.target.ends_with("=0") && expired.load(Ordering::SeqCst) {
            true => Reply::status("403 Forbidden"),
            false => Reply::Honest,
        }
    });
    let front = front(&rig, &back, "302 Found");
    let mut links = [rig.link(&front).await, rig.link(&front).await];
    for (link, first) in links.iter_mut().zip([0, 1]) {
        let run = rig.run(first, first + 1);
        assert_eq!(rig.fetch(link, run).await, rig.done(run));
    }
    is_over.store(true, Ordering::SeqCst);
    for (link, first) in links.iter_mut().zip([2, 3]) {
        let run = rig.run(first, first + 1);
        assert_eq!(rig.fetch(link, run).await, rig.done(run));
    }
    assert_eq!(front.requests().len(), 2, "one for each target");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_right_behind_a_fresh_redirect_is_one() {
    let rig = Rig::new(single());
    let back = rig.serve(|_| Reply::status("403 Forbidden"));
    let front = front(&rig, &back, "302 Found");
    let mut link = rig.link(&front).await;
    let ended = rig.fetch(&mut link, rig.run(0, 1)).await;
    assert!(matches!(&ended.why, RunEnd::Refused(_, it) if it.why.starts_with("403")), "{ended:?}");
    assert_eq!((front.requests().len(), back.requests().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_for_each_range_is_followed_without_a_wait() {
    let rig = Rig::new(single());
    let back = rig.serve(|_| Reply::Honest);
    let address = back.address;
    let front = rig.serve(move |request| {
        let fields = format!("Location: //{address}{}\r\n", request.target);
        // Not to be kept for anybody, but a few ranges are one use.
        Reply::Status("303 See Other", format!("{fields}Cache-Control: no-store\r\n"), vec![7; 99])
    });
    let mut link = rig.link(&front).await;
    for piece in 0..4 {
        let run = rig.run(piece, piece + 1);
        assert_eq!(rig.fetch(&mut link, run).await, rig.done(run));
    }
    assert_eq!(front.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circle_of_redirects_ends() {
    let rig = Rig::new(single());
    let server = rig.serve(|request| Reply::redirect(&format!("{}x", request.target)));
    let mut link = rig.link(&server).await;
    let ended = rig.fetch(&mut link, rig.run(0, 1)).await;
    let why = "it redirects more than 5 times".to_owned();
    let rest = Some(Duration::from_secs(600));
    assert_eq!(ended.why, RunEnd::File(FileIndex(0), Trouble { why, rest }));
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_and_password_go_to_their_origin_and_nowhere_else() {
    let rig = Rig::new(single());
    let back = rig.serve(|_| Reply::Honest);
    let front = front(&rig, &back, "302 Found");
    let url = format!("http://me:secret@{}/pub/", front.address);
    let mut link = rig.dial(&url, NamedBy::User);
    link.is_up().await;
    let run = rig.run(0, 2);
    assert_eq!(rig.fetch(&mut link, run).await, rig.done(run));
    // "me:secret" in base64.
    assert_eq!(front.requests()[0].field("Authorization"), Some("Basic bWU6c2VjcmV0"));
    assert_eq!(back.requests()[0].field("Authorization"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torrent_leads_into_our_network_only_without_a_query_or_if_the_user_allows_it() {
    let rig = Rig::new(single());
    let server = rig.serve(|_| Reply::Honest);
    let run = rig.run(0, 1);
    let plain = server.url("/pub/");
    let query = server.url("/pub/a%20file?reboot=1");
    let known = format!("http://admin:admin@{}/pub/", server.address);
    for (url, named_by, is_allowed) in [
        (&plain, NamedBy::Torrent, true),
        (&query, NamedBy::User, true),
        (&query, NamedBy::Torrent, false),
        (&known, NamedBy::Torrent, false),
    ] {
        // No connection of another is to be used.
        let rig = Rig::new(single());
        let mut link = rig.dial(url, named_by);
        link.is_up().await;
        let ended = rig.fetch(&mut link, run).await;
        assert_eq!(ended == rig.done(run), is_allowed, "{url} {named_by:?}: {ended:?}");
        if !is_allowed {
            let why = "it leads to the loopback address 127.0.0.1, which is not allowed";
            let trouble = Trouble { why: why.to_owned(), rest: None };
            assert_eq!(ended.why, RunEnd::Source(trouble));
        }
    }
    assert_eq!(server.connections(), 2);
    let rig = Rig::with_policy(single(), Policy { allows_local: true, ..Policy::default() });
    let mut link = rig.dial(&query, NamedBy::Torrent);
    link.is_up().await;
    assert_eq!(rig.fetch(&mut link, run).await, rig.done(run));
    // Where whoever asks counts as a user, the settings alone decide.
    for allows_local in [false, true] {
        let policy = Policy { allows_local, believes_users: false, ..Policy::default() };
        let rig = Rig::with_policy(single(), policy);
        let mut link = rig.dial(&plain, NamedBy::User);
        link.is_up().await;
        let ended = rig.fetch(&mut link, run).await;
        assert_eq!(ended == rig.done(run), allows_local, "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_must_not_lead_into_our_network_does_not_over_a_connection_that_is_open_either() {
    let rig = Rig::new(single());
    let server = rig.serve(|_| Reply::Honest);
    let run = rig.run(0, 1);
    let mut link = rig.dial(&server.url("/pub/"), NamedBy::Torrent);
    link.is_up().await;
    assert_eq!(rig.fetch(&mut link, run).await, rig.done(run));
    link.close().await;
    let mut link = rig.dial(&server.url("/pub/a%20file?reboot=1"), NamedBy::Torrent);
    link.is_up().await;
    let ended = rig.fetch(&mut link, run).await;
    assert!(matches!(ended.why, RunEnd::Source(Trouble { rest: None, .. })), "{ended:?}");
    let targets: Vec<_> = server.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/pub/a%20file"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_redirect_leads_to_a_port_of_another_protocol() {
    let rig = Rig::new(single());
    let server = rig.serve(|_| Reply::redirect("http://127.0.0.1:25/"));
    let mut link = rig.link(&server).await;
    let ended = rig.fetch(&mut link, rig.run(0, 1)).await;
    let why = "it leads to port 25, which is not one of HTTP".to_owned();
    let rest = Some(Duration::from_secs(600));
    assert_eq!(ended.why, RunEnd::File(FileIndex(0), Trouble { why, rest }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_of_a_file_that_was_asked_for_ahead_is_none_of_the_file_before_it() {
    let files = [("one", 200_000), ("two", 200_000)];
    let mut rig = Rig::new(Spec::multi(3, "t", &files, PIECE_LEN));
    // No read takes in so much that the next file is not asked for ahead.
    let pool = BlockPool::new(3 * BLOCK_LEN);
    rig.config = Arc::new(LinkConfig { pool, ..(*rig.config).clone() });
    let back = rig.serve(|_| Reply::Honest);
    let address = back.address;
    let front = rig.serve(move |request| match request.target.ends_with("two") {
        true => Reply::redirect(&format!("http://{address}{}", request.target)),
        false => Reply::Honest,
    });
    let mut link = rig.link(&front).await;
    for run in [rig.run(0, 1), rig.run(1, 6), rig.run(0, 2), rig.run(4, 6)] {
        assert_eq!(rig.fetch(&mut link, run).await, rig.done(run), "{run:?}");
    }
    let targets = |server: &MockWeb| -> Vec<String> {
        server.requests().into_iter().map(|request| request.target).collect()
    };
    let [one, two] = ["/pub/t/one", "/pub/t/two"];
    // Ahead, and on a way of its own.
    assert_eq!(targets(&front), [one, one, two, two, one]);
    assert_eq!(targets(&back), [two, two]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_busy_rests_the_source_and_not_whoever_else_is_on_its_site() {
    let rig = Rig::new(single());
    let back = rig.serve(|request| match request.number {
        0 => {
            let fields = "Retry-After: 1\r\n".to_owned();
            Reply::Status("503 Service Unavailable", fields, Vec::new())
        }
        _ => Reply::Honest,
    });
    let front = front(&rig, &back, "302 Found");
    let mut link = rig.link(&front).await;
    let run = rig.run(0, 1);
    let why = "503: it is busy".to_owned();
    let rest = Some(Duration::from_secs(1));
    assert_eq!(rig.fetch(&mut link, run).await.why, RunEnd::Source(Trouble { why, rest }));
    link.close().await;
    // Without a word of a wait.
    let mut another = rig.link(&front).await;
    assert_eq!(rig.fetch(&mut another, run).await, rig.done(run));
    assert_eq!(front.requests().len(), 2, "it may know another one by now");
}
