//! Lists that were fetched, as they are kept in the state directory: the merged ranges, so that a
//! start without network blocks what the last one did. One file for each URL, named by its hash;
//! when it was asked last is the file's time. What is damaged, or of another URL, counts as
//! nothing. They tell nothing of whom we speak to, and nothing of the URL.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use data_encoding::HEXLOWER;

use super::parse::List;
use super::table::{RANGES_MAX, Table};
use crate::base::digest::sha1;
use crate::os::whole::{How, NewFile};

/// How such a file begins; another format gets another number.
const MAGIC: [u8; 8] = *b"pgnblk01";
/// Bytes of a SHA-1.
const HASH_LEN: usize = 20;
/// The longest `Last-Modified` that is kept; a date has 29 bytes.
pub(super) const MODIFIED_LEN_MAX: usize = 64;
/// The longest file that is read: all ranges may be of IPv6.
const FILE_LEN_MAX: u64 = 1024 + 32 * RANGES_MAX as u64;

/// A list that was kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub list: List,
    /// What the server called its date.
    pub modified: Option<String>,
    /// When it was asked for last.
    pub asked: SystemTime,
}

/// Where the list of a URL is kept.
pub(super) fn path(state_dir: &Path, url: &str) -> PathBuf {
    let name = HEXLOWER.encode(&sha1(&[url.as_bytes()]));
    state_dir.join(format!("{name}.blocklist"))
}

/// What was kept of a URL's list; none when nothing was, or it cannot be used.
pub(super) fn load(state_dir: &Path, url: &str) -> Option<Kept> {
    let read = || -> io::Result<(Vec<u8>, SystemTime)> {
        let file = File::open(path(state_dir, url))?;
        let asked = file.metadata()?.modified()?;
        let mut bytes = Vec::new();
        file.take(FILE_LEN_MAX).read_to_end(&mut bytes)?;
        Ok((bytes, asked))
    };
    let (bytes, asked) = read().ok()?;
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (sum, rest) = rest.split_first_chunk::<HASH_LEN>()?;
    if *sum != sha1(&[rest]) {
        return None;
    }
    let (of, rest) = rest.split_first_chunk::<HASH_LEN>()?;
    if *of != sha1(&[url.as_bytes()]) {
        return None;
    }
    let (bad, rest) = rest.split_first_chunk()?;
    let (len, rest) = rest.split_first()?;
    let (modified, rest) = rest.split_at_checked(usize::from(*len))?;
    let modified = String::from_utf8(modified.to_vec()).ok().filter(|it| !it.is_empty());
    let table = Arc::new(read_table(rest)?);
    Some(Kept { list: List { table, bad: u64::from_le_bytes(*bad) }, modified, asked })
}

fn read_table(bytes: &[u8]) -> Option<Table> {
    let (count, rest) = bytes.split_first_chunk()?;
    let four_len =
        usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(size_of::<u32>())?;
    let (starts, rest) = rest.split_at_checked(four_len)?;
    let (ends, six) = rest.split_at_checked(four_len)?;
    let fours = |bytes: &[u8]| -> Box<[u32]> {
        bytes.as_chunks().0.iter().map(|it| u32::from_le_bytes(*it)).collect()
    };
    let (six, []) = six.as_chunks::<{ size_of::<u128>() }>() else { return None };
    let (pairs, []) = six.as_chunks::<2>() else { return None };
    let six = pairs.iter().map(|pair| pair.map(u128::from_le_bytes).into());
    Table::of_sorted(fours(starts), fours(ends), six.collect())
}

/// Keeps a list instead of what was there, at once and as a whole.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn store(
    state_dir: &Path,
    url: &str,
    list: &List,
    modified: Option<&str>,
) -> io::Result<()> {
    let (starts, ends, six) = list.table.parts();
    let modified = modified.filter(|it| it.len() <= MODIFIED_LEN_MAX).unwrap_or_default();
    let mut bytes = sha1(&[url.as_bytes()]).to_vec();
    bytes.extend(list.bad.to_le_bytes());
    bytes.extend(u8::try_from(modified.len()));
    bytes.extend(modified.as_bytes());
    bytes.extend(u32::try_from(starts.len()).unwrap_or(0).to_le_bytes());
    starts.iter().chain(ends).for_each(|ip| bytes.extend(ip.to_le_bytes()));
    for (first, last) in six {
        bytes.extend([first.to_le_bytes(), last.to_le_bytes()].concat());
    }
    let path = path(state_dir, url);
    // Other sessions may keep theirs at the same time.
    let mut file = NewFile::create(&path, How::DURABLE)?;
    file.write_all(&MAGIC)?;
    file.write_all(&sha1(&[&bytes]))?;
    file.write_all(&bytes)?;
    file.finish()
}

/// What is kept is as new as can be.
///
/// # Errors
/// When the file is gone, or the system does not let us.
pub(super) fn touch(state_dir: &Path, url: &str) -> io::Result<()> {
    File::options().append(true).open(path(state_dir, url))?.set_modified(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const URL: &str = "http://lists.example/a";

    fn list(text: &str) -> List {
        List::read(text.as_bytes(), true).unwrap()
    }

    #[test]
    fn what_was_kept_is_found_again_by_its_url_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path(), URL).is_none());
        let one = list("1.2.3.4\n9.0.0.0/8\n2001:db8::/32\n255.255.255.255\n::5-::7\nx");
        store(dir.path(), URL, &one, Some("Sun, 29 Nov 2026 10:00:00 GMT")).unwrap();
        let kept = load(dir.path(), URL).unwrap();
        assert_eq!(kept.list, one);
        assert_eq!(kept.modified.as_deref(), Some("Sun, 29 Nov 2026 10:00:00 GMT"));
        assert!(kept.asked.elapsed().unwrap_or_default().as_secs() < 3600);
        assert!(load(dir.path(), "http://lists.example/b").is_none());
        let six = list("::5-::7");
        store(dir.path(), URL, &six, None).unwrap();
        let kept = load(dir.path(), URL).unwrap();
        assert_eq!((kept.list, kept.modified), (six, None));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_damaged_or_of_another_url_counts_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        store(dir.path(), URL, &list("1.2.3.4\n5.6.7.8\n::5-::7"), None).unwrap();
        let path = path(dir.path(), URL);
        let whole = fs::read(&path).unwrap();
        assert!(load(dir.path(), URL).is_some());
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            assert!(load(dir.path(), URL).is_none(), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(load(dir.path(), URL).is_none(), "{at} bytes");
        }
        let other = "http://lists.example/b";
        fs::write(super::path(dir.path(), other), &whole).unwrap();
        assert!(load(dir.path(), other).is_none());
        // Bytes of somebody who knows how to sum them up.
        let mut bytes = whole[MAGIC.len() + HASH_LEN..].to_vec();
        let starts = bytes.len() - 32 - 16;
        bytes[starts..starts + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        let forged = [&MAGIC[..], &sha1(&[&bytes]), &bytes].concat();
        fs::write(&path, forged).unwrap();
        assert!(load(dir.path(), URL).is_none(), "ranges out of order");
    }

    #[test]
    fn asking_again_in_vain_makes_it_newer() {
        let dir = tempfile::tempdir().unwrap();
        assert!(touch(dir.path(), URL).is_err());
        store(dir.path(), URL, &list("1.2.3.4"), None).unwrap();
        let file = File::options().append(true).open(path(dir.path(), URL)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(load(dir.path(), URL).unwrap().asked, SystemTime::UNIX_EPOCH);
        touch(dir.path(), URL).unwrap();
        assert!(load(dir.path(), URL).unwrap().asked > SystemTime::UNIX_EPOCH);
    }
}
