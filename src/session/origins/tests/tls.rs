//! TLS, with an authority that is made for tests.

use std::net::SocketAddr;
use std::path::PathBuf;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::link::web::Tls;

use super::*;

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../tests/support/tls", name].iter().collect()
}

/// Serves `body` to all requests, whole, as `localhost`; tells what was agreed on below HTTP.
async fn serve(body: Vec<u8>) -> (SocketAddr, mpsc::Receiver<Option<Vec<u8>>>) {
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(file("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, agreed) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let alpn = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            sender.send(alpn).await.unwrap();
            let body = body.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while let Ok(byte) = stream.read_u8().await {
                    head.push(byte);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        let len = body.len();
                        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        stream.write_all(&body).await.unwrap();
                        stream.flush().await.unwrap();
                    }
                }
            });
        }
    });
    (address, agreed)
}

fn rig(authorities: Vec<PathBuf>) -> Rig {
    let tls = Tls::new(authorities);
    Rig::with_policy(single(), Policy { tls, ..Policy::default() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_from_a_server_that_has_proved_its_name_over_http_1() {
    let rig = rig(vec![file("authority.pem")]);
    let (address, mut agreed) = serve(rig.spec.file(0)).await;
    let url = format!("https://localhost:{}/file", address.port());
    let mut link = rig.dial(&url, NamedBy::User);
    link.is_up().await;
    for _ in 0..2 {
        let run = rig.all();
        assert_eq!(rig.fetch(&mut link, run).await, rig.done(run));
    }
    link.close().await;
    let mut another = rig.dial(&url, NamedBy::User);
    another.is_up().await;
    assert_eq!(rig.fetch(&mut another, rig.all()).await, rig.done(rig.all()));
    assert_eq!(agreed.recv().await, Some(Some(b"http/1.1".to_vec())));
    assert!(agreed.try_recv().is_err(), "one connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_prove_its_name_is_not_asked() {
    for (authorities, host) in
        [(Vec::new(), "localhost"), (vec![file("authority.pem")], "127.0.0.1")]
    {
        let rig = rig(authorities);
        let (address, _agreed) = serve(rig.spec.file(0)).await;
        let url = format!("https://{host}:{}/file", address.port());
        let mut link = rig.dial(&url, NamedBy::User);
        link.is_up().await;
        let ended = rig.fetch(&mut link, rig.all()).await;
        let RunEnd::Source(trouble) = &ended.why else { panic!("{ended:?}") };
        assert!(trouble.why.starts_with("no TLS with it: "), "{trouble:?}");
        assert_eq!(ended.blocks, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_authorities_that_cannot_be_read_is_told() {
    let rig = rig(vec![file("nothing.pem")]);
    let (address, _agreed) = serve(rig.spec.file(0)).await;
    let mut link = rig.dial(&format!("https://localhost:{}/", address.port()), NamedBy::User);
    link.is_up().await;
    let ended = rig.fetch(&mut link, rig.all()).await;
    let RunEnd::Source(trouble) = &ended.why else { panic!("{ended:?}") };
    assert!(trouble.why.contains("nothing.pem"), "{trouble:?}");
}
