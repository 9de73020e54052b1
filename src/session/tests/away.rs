//! A file of a seed's that is moved away and put back, while somebody downloads it.

use tokio::time::timeout;

use super::*;

/// Lost files are looked for every ten seconds.
const LIMIT: Duration = Duration::from_secs(60);
const PIECE_LEN: usize = 16_384;
/// Bytes of the two files.
const FILES: [(&str, usize); 2] = [("a", 2 * PIECE_LEN), ("b", 20 * PIECE_LEN)];

fn bytes_of(file: usize) -> Vec<u8> {
    (0..FILES[file].1).map(|at| (at / 251 + at % 251 + file) as u8).collect()
}

fn torrent_of_two() -> Arc<Torrent> {
    let bytes = [bytes_of(0), bytes_of(1)].concat();
    let hashes = bytes.chunks(PIECE_LEN).flat_map(|piece| sha1(&[piece])).collect::<Vec<u8>>();
    let file = |(name, len): &(&str, usize)| format!("d6:lengthi{len}e4:pathl1:{name}ee");
    let files = FILES.iter().map(file).collect::<String>();
    let head = format!("d5:filesl{files}e4:name1:m12:piece lengthi{PIECE_LEN}e6:pieces");
    let info = [format!("{head}{}:", hashes.len()).as_bytes(), &hashes, b"e"].concat();
    Arc::new(Torrent::from_info(&info).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_put_back_is_fetched_on_the_connection_on_which_it_was_refused() {
    let home = tempfile::tempdir().unwrap();
    let [there, here] = ["there", "here"].map(|name| home.path().join(name));
    let (seed, leech) = (session(&there, 5).await, session(&here, 5).await);
    let torrent = torrent_of_two();
    let folder = there.join("data/m");
    std::fs::create_dir_all(&folder).unwrap();
    for (number, (name, _)) in FILES.iter().enumerate() {
        std::fs::write(folder.join(name), bytes_of(number)).unwrap();
    }
    let serving = seed.add(torrent.clone(), options(&there).seed_only(true)).await.unwrap();
    until(&serving, State::Complete).await;
    let aside = there.join("aside");
    std::fs::rename(folder.join("b"), &aside).unwrap();

    let address = SocketAddr::from(([127, 0, 0, 1], seed.port()));
    let fetching = leech.add(torrent, options(&here).peers(vec![address])).await.unwrap();
    let lost = async {
        while fetching.why().await.is_none_or(|report| report.pieces_nobody_has != 20) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, lost).await.expect("all of the file is refused twice");
    std::fs::rename(aside, folder.join("b")).unwrap();
    timeout(LIMIT, fetching.wait_until_complete()).await.expect("it comes").unwrap();
    assert_eq!(std::fs::read(here.join("data/m/b")).unwrap(), bytes_of(1));
    leech.stop().await;
    seed.stop().await;
}
