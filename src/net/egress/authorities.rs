//! Who vouches for the names of servers besides those whom the system trusts: certificates in files
//! that the user names. Whoever names one means it for all that is reached by TLS.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The certificates (PEM) in these files. Reads them, which takes a moment.
///
/// # Errors
/// Which file cannot be read or has none, and why, in words for people.
pub fn authorities(files: &[PathBuf]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut all = Vec::new();
    for file in files {
        let before = all.len();
        read(file, &mut all).map_err(|why| format!("{}: {why}", file.display()))?;
        if all.len() == before {
            return Err(format!("{}: there is no certificate in it", file.display()));
        }
    }
    Ok(all)
}

fn read(file: &Path, all: &mut Vec<CertificateDer<'static>>) -> Result<(), String> {
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())?;
    for certificate in certificates {
        all.push(certificate.map_err(|error| error.to_string())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "../../tests/support/tls", name].iter().collect()
    }

    #[test]
    fn a_file_without_certificates_is_told_by_its_name() {
        assert_eq!(authorities(&[]), Ok(Vec::new()));
        let good = file("authority.pem");
        assert_eq!(authorities(&[good.clone(), good.clone()]).unwrap().len(), 2);
        for (name, why) in [("none.pem", "No such file"), ("server.key", "no certificate in it")] {
            let said = authorities(&[good.clone(), file(name)]).unwrap_err();
            assert!(said.contains(name) && said.contains(why), "{said}");
        }
    }
}
