//! The catalogue's token between our client and our tracker: it is never sent, and who does not
//! know it, or only passes on what others say, gets nothing that is of use.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::served::{Answer, Served, info_hash, torrent};
use crate::base::ids::InfoHash;
use crate::net::egress::Egress;
use crate::tracker::catalogue_client::{CatalogueClient, Error};
use crate::tracker::proof::{Change, SignedChange, TokenKey, body_hash, decode};

const TOKEN: &str = "correct-horse";
const WRONG: &str = "that is not the tracker's token";

/// Passes everything on to `to` and tells what clients sent.
async fn relay(to: SocketAddr) -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // More than a test says.
    let (heard, said) = mpsc::channel(1024);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (heard, server) = (heard.clone(), TcpStream::connect(to).await.unwrap());
            tokio::spawn(async move {
                let (mut ours, mut theirs) = tokio::io::duplex(1 << 16);
                let (mut client_reads, client_writes) = client.into_split();
                let listening = async move {
                    let mut bytes = vec![0; 1 << 16];
                    while let Ok(len @ 1..) = client_reads.read(&mut bytes).await {
                        heard.send(bytes[..len].to_vec()).await.unwrap();
                        ours.write_all(&bytes[..len]).await.unwrap();
                    }
                };
                let mut far = server;
                let mut near = tokio::io::join(&mut theirs, client_writes);
                tokio::join!(listening, async {
                    _ = copy_bidirectional(&mut near, &mut far).await
                });
            });
        }
    });
    (address, said)
}

fn client(address: SocketAddr) -> CatalogueClient {
    CatalogueClient::new(&format!("http://{address}"), &Egress::default()).unwrap()
}

fn found(address: SocketAddr) -> CatalogueClient {
    CatalogueClient::found(&format!("http://{address}"), &Egress::default()).unwrap()
}

#[tokio::test]
async fn the_token_is_never_sent_and_opens_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with_catalogue(dir.path(), Some(TOKEN)).await;
    let (wire, mut said) = relay(served.http).await;
    let key = client(wire).knock("a b", Some(TOKEN)).await.unwrap();
    assert!(key.is_some());
    let hash = InfoHash(info_hash(1));
    client(wire).register("a b", torrent(1), hash, Some(TOKEN)).await.unwrap();
    assert_eq!(client(wire).list().await.unwrap().torrents.len(), 1);
    client(wire).remove("a b", Some(TOKEN)).await.unwrap();
    assert_eq!(client(wire).list().await.unwrap().torrents.len(), 0);
    let mut all = Vec::new();
    while let Ok(bytes) = said.try_recv() {
        all.extend(bytes);
    }
    let all = String::from_utf8_lossy(&all);
    assert!(all.contains("PUT /catalogue/a%20b") && all.contains("Pigeon nonce="), "{all}");
    assert!(!all.contains(TOKEN) && !all.to_lowercase().contains("bearer"), "{all}");
}

#[tokio::test]
async fn a_wrong_token_is_told_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with_catalogue(dir.path(), Some(TOKEN)).await;
    let refused = client(served.http).knock("a", Some("correct-house")).await.unwrap_err();
    assert!(matches!(refused, Error::Unproven { .. }) && refused.to_string().ends_with(WRONG));
    assert_eq!(served.get("/stats").await.json()["http"]["requests"], 2, "introduction, stats");
    let missing = client(served.http).knock("a", None).await.unwrap_err();
    assert!(matches!(missing, Error::Refused { status: 401, .. }), "{missing}");
}

#[tokio::test]
async fn a_tracker_that_was_found_cannot_pass_on_what_another_says() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with_catalogue(dir.path(), Some(TOKEN)).await;
    let (fake, mut said) = relay(served.http).await;
    let hash = InfoHash(info_hash(1));
    let refused = found(fake).register("a", torrent(1), hash, Some(TOKEN)).await.unwrap_err();
    assert!(refused.to_string().contains("that of another address"), "{refused}");
    let met = found(fake).introduce(None).await;
    assert!(matches!(met, Err(Error::Malformed { .. })), "{met:?}");
    let heard = String::from_utf8(said.recv().await.unwrap()).unwrap();
    assert!(heard.starts_with("GET /introduction?nonce=") && !heard.contains(TOKEN), "{heard}");
    // The real one is met where it is, and is the same at the next start.
    let met = found(served.http).introduce(Some(TOKEN)).await.unwrap().unwrap();
    assert!(met.knows_token());
    served.stop().await;
    let served = Served::with_catalogue(dir.path(), Some("another")).await;
    let again = found(served.http).introduce(Some(TOKEN)).await.unwrap().unwrap();
    assert!(again.key() == met.key() && !again.knows_token());
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(dir.path().join("identity")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_tracker_that_cannot_show_anything_gets_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mut bytes = [0; 4096];
            let len = stream.read(&mut bytes).await.unwrap();
            assert!(bytes[..len].starts_with(b"GET /introduction?"));
            let head = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(head).await.unwrap();
        }
    });
    let refused = client(address).knock("a", Some(TOKEN)).await.unwrap_err();
    assert!(matches!(refused, Error::CannotProve { .. }), "{refused}");
    assert!(refused.to_string().starts_with("nothing was sent to"), "{refused}");
    // One without a token is asked for nothing: whoever typed its address meant it, and one that
    // was found is not the one whose token the user has.
    let dir = tempfile::tempdir().unwrap();
    let open = Served::with_catalogue(dir.path(), None).await;
    let hash = InfoHash(info_hash(1));
    client(open.http).register("a", torrent(1), hash, Some(TOKEN)).await.unwrap();
    let refused = found(open.http).remove("a", Some(TOKEN)).await.unwrap_err();
    assert!(matches!(refused, Error::Unproven { .. }), "{refused}");
}

/// Signs a change as anybody who knows the token can.
async fn sign(served: &Served, method: &str, name: &str, body: &[u8]) -> String {
    let asked = served.get(&format!("/introduction?nonce={}", "01".repeat(16))).await;
    assert_eq!(asked.status, 200, "{}", asked.text());
    let said: crate::tracker::proof::Introduction = serde_json::from_slice(&asked.body).unwrap();
    let met = said.check(&[1; 16]).unwrap();
    assert_eq!(met.address, served.http);
    let token = met.proven(TOKEN, &[1; 16]).unwrap();
    header(&token, &met.nonce, method, name, body)
}

fn header(token: &TokenKey, nonce: &[u8; 32], method: &str, name: &str, body: &[u8]) -> String {
    let change = Change { nonce, method, name, body: &body_hash(body) };
    format!("Authorization: {}\r\n", SignedChange::new(token, &change).to_header())
}

#[tokio::test]
async fn a_signature_is_good_once_and_for_what_was_signed() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with_catalogue(dir.path(), Some(TOKEN)).await;
    let put = async |name: &str, header: &str, body: Vec<u8>| -> Answer {
        served.request(&format!("PUT /catalogue/{name}"), header, &body).await
    };
    let signed = sign(&served, "PUT", "a", &torrent(1)).await;
    let other = put("a", &signed, torrent(2)).await;
    assert_eq!((other.status, other.error().contains("the one that was signed")), (400, true));
    let again = put("a", &signed, torrent(1)).await;
    assert_eq!((again.status, again.error().contains("no longer good")), (401, true));
    let signed = sign(&served, "PUT", "a", &torrent(1)).await;
    let renamed = put("b", &signed, torrent(1)).await;
    assert_eq!((renamed.status, renamed.error().as_str()), (401, WRONG));
    assert_eq!(served.request("DELETE /catalogue/a", &signed, b"").await.status, 401);
    assert_eq!(put("a", &signed, torrent(1)).await.status, 201, "nobody else used it up");
    assert_eq!(put("a", &signed, torrent(1)).await.status, 401, "replayed");
    // A nonce that the tracker never made.
    let key = served.get(&format!("/introduction?nonce={}", "00".repeat(16))).await.json();
    let key = decode(key["key"].as_str().unwrap()).map(crate::tracker::proof::TrackerKey).unwrap();
    let token = TokenKey::new(TOKEN, &key);
    let forged = header(&token, &[7; 32], "PUT", "c", &torrent(3));
    assert_eq!(put("c", &forged, torrent(3)).await.status, 401);
}

#[tokio::test]
async fn an_introduction_needs_a_nonce_and_a_catalogue() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with_catalogue(dir.path(), None).await;
    for query in ["", "?nonce=", "?nonce=00", "?x=1", &format!("?nonce={}", "zz".repeat(16))] {
        assert_eq!(served.get(&format!("/introduction{query}")).await.status, 400, "{query}");
    }
    let open = served.get(&format!("/introduction?nonce={}", "00".repeat(16))).await;
    assert_eq!((open.status, open.json()["proof"].is_null()), (200, true));
    let none = Served::start(Default::default(), None).await;
    assert_eq!(none.get(&format!("/introduction?nonce={}", "00".repeat(16))).await.status, 404);
}
