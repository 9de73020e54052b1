//! The WebAPI of qBittorrent, as programs speak it.

mod changes;
mod doors;
mod kept;
mod lists;
mod orders;

use super::*;

/// Somebody who speaks it.
struct Program<'a> {
    served: &'a Served,
    cookie: String,
}

impl Served {
    async fn qbittorrent(&self) -> Program<'_> {
        let body = format!("username=any&password={TOKEN}");
        let told = self.send(&form_head("auth/login", "", body.len()), body.as_bytes()).await;
        assert_eq!((told.status(), told.body.as_slice()), (200, b"Ok.".as_slice()), "{told:?}");
        let line = told.head.lines().find(|line| line.starts_with("set-cookie: ")).unwrap();
        Program { served: self, cookie: line["set-cookie: ".len()..].replace("sid=", "SID=") }
    }
}

/// The head of a form that is posted.
fn form_head(path: &str, more: &str, len: usize) -> String {
    format!(
        "POST /api/v2/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len}\r\n{more}\r\n"
    )
}

impl Program<'_> {
    async fn get(&self, path: &str) -> Told {
        let line = format!("GET /api/v2/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close");
        self.served.send(&format!("{line}\r\nCookie: {}\r\n\r\n", self.cookie), b"").await
    }

    async fn json(&self, path: &str) -> Value {
        let told = self.get(path).await;
        assert_eq!(told.status(), 200, "{path}: {told:?}");
        assert!(told.has("content-type: application/json"), "{path}: {told:?}");
        told.json()
    }

    /// Posts fields.
    async fn post(&self, path: &str, fields: &str) -> Told {
        let head = form_head(path, &format!("Cookie: {}\r\n", self.cookie), fields.len());
        self.served.send(&head, fields.as_bytes()).await
    }

    /// Posts fields, and nothing is to be said about it.
    async fn does(&self, path: &str, fields: &str) {
        let told = self.post(path, fields).await;
        assert_eq!((told.status(), told.text()), (200, String::new()), "{path} {fields}");
        assert!(told.has("content-type: text/plain; charset=utf-8"), "{told:?}");
    }

    /// Posts parts: fields, and files of these bytes.
    async fn send(&self, path: &str, fields: &[(&str, &str)], files: &[(&str, &[u8])]) -> Told {
        let mut body = Vec::new();
        for (name, value) in fields {
            let head = format!("Content-Disposition: form-data; name=\"{name}\"");
            body.extend(format!("--bound\r\n{head}\r\n\r\n{value}\r\n").bytes());
        }
        for (name, bytes) in files {
            let head = "Content-Disposition: form-data; name=\"torrents\"";
            body.extend(format!("--bound\r\n{head}; filename=\"{name}\"\r\n\r\n").bytes());
            body.extend_from_slice(bytes);
            body.extend(b"\r\n");
        }
        body.extend(b"--bound--\r\n");
        let head = format!(
            "POST /api/v2/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: multipart/form-data; boundary=bound\r\nContent-Length: {}\r\n\
             Cookie: {}\r\n\r\n",
            body.len(),
            self.cookie
        );
        self.served.send(&head, &body).await
    }

    /// Adds a torrent of its own that rests; its hash.
    async fn add(&self, name: &str, fields: &[(&str, &str)]) -> String {
        let fields = [&[("paused", "true")], fields].concat();
        let told = self.send("torrents/add", &fields, &[("x.torrent", &torrent(name))]).await;
        assert_eq!((told.status(), told.text().as_str()), (200, "Ok."), "{told:?}");
        let all = self.json("torrents/info").await;
        let it = all.as_array().unwrap().iter().find(|it| it["name"] == *name);
        it.expect("it is listed at once")["hash"].as_str().unwrap().to_owned()
    }

    async fn one(&self, hash: &str) -> Value {
        self.json(&format!("torrents/info?hashes={hash}")).await[0].clone()
    }

    /// The torrent when it is so.
    async fn until(&self, hash: &str, key: &str, value: Value) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let it = self.one(hash).await;
            if it[key] == value {
                return it;
            }
            assert!(Instant::now() < until, "never {key} {value}: {it}");
            let mut heads = self.served.api.heads();
            let _ = timeout(Duration::from_millis(50), heads.changed()).await;
        }
    }
}

impl Told {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// A `.torrent` of a folder with these files, of nothing that anybody has.
fn folder(name: &str, files: &[&str]) -> Vec<u8> {
    let of = |file: &&str| format!("d6:lengthi20000e4:pathl{}:{file}ee", file.len());
    let list: String = files.iter().map(of).collect();
    let pieces = (20_000 * files.len()).div_ceil(16_384);
    let hashes = "y".repeat(20 * pieces);
    let info = format!(
        "d5:filesl{list}e4:name{}:{name}12:piece lengthi16384e6:pieces{}:{hashes}e",
        name.len(),
        hashes.len()
    );
    format!("d8:announce20:http://127.0.0.1:1/a7:comment5:words4:info{info}e").into_bytes()
}
