//! One source whose files lie at several sites.

use std::collections::BTreeMap;

use crate::base::url::Url;

use super::*;

/// A link to the servers of the files of `several`, each with the number of its file.
fn dial(rig: &Rig, servers: [&str; 4]) -> Link {
    let paths = ["one", "dir/two%23%3F", "dir/three", "last"];
    let url = |(at, path): (usize, &str)| format!("http://{}/pub/t/{path}", servers[at]);
    let urls = paths.into_iter().enumerate().map(|it| Url::parse(&url(it)).unwrap());
    let files: BTreeMap<_, _> = [0, 2, 3, 5].map(FileIndex).into_iter().zip(urls).collect();
    let (torrent, extents) = (rig.torrent.clone(), rig.extents.clone());
    let server = Server::exact(files, NamedBy::User, torrent, extents).unwrap();
    let (sender, reports) = mpsc::channel(4);
    let (config, origins) = (rig.config.clone(), rig.origins.clone());
    let handle = dial_server(config, (LinkId(7), 1), Arc::new(server), origins, sender);
    Link { handle, reports }
}

fn address(server: &MockWeb) -> String {
    server.address.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_of_files_at_two_sites_come_over_one_connection_to_each() {
    let rig = Rig::new(several());
    let [one, other] = [(); 2].map(|()| rig.serve(|_| Reply::Honest));
    let (a, b) = (address(&one), address(&other));
    let mut link = dial(&rig, [&a, &b, &a, &b]);
    link.is_up().await;
    let ended = rig.fetch(&mut link, rig.all()).await;
    assert_eq!((ended.at, ended.why, ended.wrong), (rig.spec.piece_count(), RunEnd::Done, 0));
    assert_eq!((one.connections(), other.connections()), (1, 1));
    let targets: Vec<_> = other.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/pub/t/dir/two%23%3F", "/pub/t/last"]);
    link.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_is_not_there_costs_its_file_and_not_the_site_of_the_slot() {
    let rig = Rig::new(several());
    let server = rig.serve(|_| Reply::Honest);
    // Nobody listens where somebody did.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (a, b) = (address(&server), gone.to_string());
    let mut link = dial(&rig, [&a, &a, &b, &a]);
    link.is_up().await;
    let ended = rig.fetch(&mut link, rig.all()).await;
    assert!(matches!(ended.why, RunEnd::File(FileIndex(3), _)), "{ended:?}");
    let first = rig.run(0, 1);
    assert_eq!(rig.fetch(&mut link, first).await, rig.done(first));
    rig.link(&server).await.close().await;
    link.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_is_busy_has_the_source_rest_and_not_the_site_of_the_slot() {
    let rig = Rig::new(several());
    let server = rig.serve(|_| Reply::Honest);
    let busy = rig.serve(|_| Reply::status("503 Service Unavailable"));
    let (a, b) = (address(&server), address(&busy));
    let mut link = dial(&rig, [&a, &a, &b, &a]);
    link.is_up().await;
    let ended = rig.fetch(&mut link, rig.all()).await;
    let RunEnd::Source(trouble) = ended.why else { panic!("{ended:?}") };
    assert_eq!(trouble.rest, Some(Duration::from_secs(15)));
    rig.link(&server).await.close().await;
}
