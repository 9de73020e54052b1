//! What the place of memory within its page costs when the system copies to or from it: at the
//! beginning, where an allocator puts a large piece (16 bytes behind it), and at a line of the
//! processor's cache (64). `cargo bench --bench copy`

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;

use divan::Bencher;
use divan::counter::BytesCount;
use pigeon::base::pages::{PAGE_LEN, Pages};

const BEHIND: [usize; 3] = [0, 16, 64];
const LENS: [usize; 2] = [64 << 10, 1 << 20];
/// Longer than the processor's caches, so that what is copied comes from memory.
const FILE_LEN: usize = 256 << 20;

fn main() {
    divan::main();
}

fn file() -> File {
    let file = tempfile::tempfile().expect("a temporary file");
    let page: Vec<u8> = (0..PAGE_LEN << 8).map(|at| (at * 31 + at / 253) as u8).collect();
    for at in (0..FILE_LEN).step_by(page.len()) {
        file.write_all_at(&page, at as u64).expect("room for it");
    }
    file
}

/// From the page cache, 256 MiB in steps.
#[divan::bench(args = BEHIND, consts = LENS, sample_count = 10, sample_size = 1)]
fn pread<const LEN: usize>(bencher: Bencher, behind: usize) {
    let (file, mut pages) = (file(), Pages::zeroed(LEN + PAGE_LEN));
    let steps = || (0..FILE_LEN).step_by(LEN);
    bencher.counter(BytesCount::new(FILE_LEN)).bench_local(|| {
        for at in steps() {
            file.read_exact_at(&mut pages[behind..behind + LEN], at as u64).expect("the bytes");
        }
    });
}

/// Into the page cache, over pages that are there.
#[divan::bench(args = BEHIND, consts = LENS, sample_count = 10, sample_size = 1)]
fn pwrite<const LEN: usize>(bencher: Bencher, behind: usize) {
    let (file, pages) = (file(), Pages::zeroed(LEN + PAGE_LEN));
    let steps = || (0..FILE_LEN).step_by(LEN);
    bencher.counter(BytesCount::new(FILE_LEN)).bench_local(|| {
        for at in steps() {
            file.write_all_at(&pages[behind..behind + LEN], at as u64).expect("room for it");
        }
    });
}

/// From a socket of this machine; the sender's copy is in it.
#[divan::bench(args = BEHIND, sample_count = 10, sample_size = 1)]
fn recv(bencher: Bencher, behind: usize) {
    const LEN: usize = 256 << 10;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("its address");
    let sending = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(at).expect("a connection");
        let pages = Pages::zeroed(LEN);
        while stream.write_all(&pages).is_ok() {}
    });
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut pages = Pages::zeroed(LEN + PAGE_LEN);
    bencher.counter(BytesCount::new(FILE_LEN)).bench_local(|| {
        let mut left = FILE_LEN;
        while left > 0 {
            let part = &mut pages[behind..behind + LEN.min(left)];
            left -= stream.read(part).expect("bytes");
        }
    });
    drop(stream);
    sending.join().expect("it ends with the connection");
}
