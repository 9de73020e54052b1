//! The task against opentracker, on loopback and both of its protocols. Asked for by
//! `PIGEON_INTEROP=1`, as the other tests with foreign programs are.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::task::{Torrent, millis, peer};
use crate::net::egress::Egress;
use crate::tracker::task::{NetworkTiming, TrackerCommand, TrackerEvent, TransferStats};
use crate::tracker::tiers::Timing;
use crate::tracker::tiers::status::TrackerState;

/// Ended with the test, also by a panic.
struct OpenTracker(Child);

impl OpenTracker {
    /// On a port that was free a moment ago, for the torrent of [`Torrent`]; Debian's build
    /// serves only the torrents of a list.
    fn start(dir: &Path) -> (Self, u16) {
        let port = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = tcp.local_addr().unwrap().port();
            if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
                break port;
            }
        };
        std::fs::write(dir.join("whitelist"), "01".repeat(20) + "\n").unwrap();
        let mut command = Command::new("opentracker");
        let number = port.to_string();
        command.args(["-i", "127.0.0.1", "-p", &number, "-P", &number, "-w", "whitelist", "-d"]);
        command.arg(dir).current_dir(dir).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        (Self(child.expect("opentracker is installed")), port)
    }
}

impl Drop for OpenTracker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(urls: &[&String], port: u16) -> Torrent {
    let tiers: Vec<[String; 1]> = urls.iter().map(|url| [(*url).clone()]).collect();
    let tiers: Vec<&[String]> = tiers.iter().map(|tier| tier.as_slice()).collect();
    // Until it has bound its ports and read its list, it is asked again and again.
    let network = NetworkTiming { retry_udp: millis(50), ..NetworkTiming::by(Egress::default()) };
    let timing = Timing {
        backoff: millis(50),
        backoff_max: millis(200),
        announces_max: 1000,
        ..Timing::default()
    };
    Torrent::with(&tiers, network, timing, port)
}

/// Waits until a peer is named, and tells the task that it works.
async fn meets(torrent: &mut Torrent, wanted: SocketAddr) {
    while !torrent.peers().await.contains(&wanted) {}
    let stats = TransferStats {
        left: 1,
        wanted_left: 1,
        peers_connected: 1,
        working_peers: 1,
        ..Default::default()
    };
    torrent.entry.publish(stats);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opentracker_introduces_over_udp_and_is_scraped_over_both() {
    if std::env::var_os("PIGEON_INTEROP").is_none_or(|value| value != "1") {
        let line = b"SKIPPED opentracker over UDP: asked for by PIGEON_INTEROP=1\n";
        std::io::stderr().write_all(line).unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (_tracker, port) = OpenTracker::start(dir.path());
    let udp = format!("udp://127.0.0.1:{port}/announce");
    let web = format!("http://127.0.0.1:{port}/announce");
    let mut first = start(&[&udp], 1001);
    let works = first.event(|event| match event {
        TrackerEvent::Status(all) => (all[0].state == TrackerState::Working).then_some(()),
        _ => None,
    });
    works.await;
    let first_address = peer("127.0.0.1:1001")[0];
    // The tier that is not needed tells its numbers in a scrape only.
    for (urls, port) in [([&udp, &web], 1002), ([&web, &udp], 1003)] {
        let mut torrent = start(&urls, port);
        meets(&mut torrent, first_address).await;
        torrent.entry.tell(TrackerCommand::Scrape);
        let counts = torrent.event(|event| match event {
            TrackerEvent::Status(all) => {
                all.get(1).filter(|status| status.downloaded.is_some()).cloned()
            }
            _ => None,
        });
        let counts = counts.await;
        assert_eq!((counts.seeds, counts.downloaded), (Some(0), Some(0)), "{urls:?}");
        assert_eq!((counts.leeches, counts.state), (Some(2), TrackerState::NotAsked));
        torrent.stop().await;
    }
    first.stop().await;
}
