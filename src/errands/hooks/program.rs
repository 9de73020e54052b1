//! A program that a hook runs: without a shell, in a process group of its own, which is ended when
//! it takes too long. Nobody else's process can be hit: the group's leader is waited for last, and
//! until then its number is nobody else's.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Bytes of what a program says that are kept.
pub const OUTPUT_MAX: usize = 64 << 10;
/// Variables of ours that are no program's business.
const SECRET: [&str; 6] =
    ["DRIVER_", "NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_", "PIGEON_", "CREDENTIALS_DIRECTORY"];

/// How a program ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// By itself, without a complaint.
    Well,
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// By us, since it took too long.
    TooLong,
}

/// What came of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// How it ended.
    pub end: End,
    /// The first of what it said, on both ways.
    pub output: Vec<u8>,
    /// It said more.
    pub said_more: bool,
}

/// Runs it, with these variables beside what all programs have, for so long at most. A program that
/// is not waited for any more is ended.
///
/// # Errors
/// It cannot be started.
pub async fn run(
    words: &[String],
    variables: Vec<(&'static str, String)>,
    limit: Duration,
) -> io::Result<Ran> {
    let (reader, group) = start(words.to_vec(), variables).await?;
    let leader = group.leader;
    let mut ended = spawn_blocking(move || wait_for(leader));
    let mut output = Output::new(reader)?;
    let in_time = timeout(limit, async {
        tokio::select! {
            // What it says is taken as long as it runs: it never waits for us.
            never = output.read_all() => match never {},
            ended = &mut ended => ended,
        }
    });
    let is_late = in_time.await.is_err();
    if is_late {
        group.kill();
        let _ = ended.await;
    }
    // Others that it has started may have the pipe for ever.
    output.read_rest();
    let end = match spawn_blocking(move || group.reap()).await {
        _ if is_late => End::TooLong,
        Ok(Ok(status)) => end_of(status),
        Ok(Err(error)) => return Err(error),
        Err(_) => return Err(io::ErrorKind::Interrupted.into()),
    };
    Ok(Ran { end, output: output.kept, said_more: output.said_more })
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(0), _) => End::Well,
        (Some(code), _) => End::Code(code),
        (None, signal) => End::Signal(signal.unwrap_or_default()),
    }
}

async fn start(
    words: Vec<String>,
    variables: Vec<(&'static str, String)>,
) -> io::Result<(OwnedFd, Group)> {
    let started = spawn_blocking(move || {
        let (reader, writer) = io::pipe()?;
        let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir("/").stdin(Stdio::null()).process_group(0);
        command.stdout(writer.try_clone()?).stderr(writer);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if SECRET.iter().any(|begin| text.starts_with(begin)) {
                command.env_remove(&name);
            }
        }
        // Whoever waits for it may have gone meanwhile: then it is ended.
        let group = Group::new(command.envs(variables).spawn()?)?;
        Ok((reader.into(), group))
    });
    started.await.map_err(|_| io::Error::from(io::ErrorKind::Interrupted))?
}

/// Waits until it has ended, and leaves it to be waited for.
fn wait_for(leader: Pid) {
    let flags = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(leader), flags) {}
}

/// A program and what it has started, as far as that stays in its group.
struct Group {
    leader: Pid,
    /// None when it has been waited for.
    child: Option<Child>,
}

impl Group {
    fn new(child: Child) -> io::Result<Self> {
        let leader = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let leader = leader.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { leader, child: Some(child) })
    }

    fn kill(&self) {
        if self.child.is_some() {
            // That it has ended by itself is well, too.
            let _ = kill_process_group(self.leader, Signal::KILL);
        }
    }

    fn reap(mut self) -> io::Result<ExitStatus> {
        let mut child = self.child.take().ok_or(io::ErrorKind::NotFound)?;
        child.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        if let Some(mut child) = self.child.take() {
            // It was killed: that takes no time.
            let _ = child.wait();
        }
    }
}

/// What a program says.
struct Output {
    pipe: Receiver,
    kept: Vec<u8>,
    said_more: bool,
}

/// Never.
enum Never {}

impl Output {
    fn new(pipe: OwnedFd) -> io::Result<Self> {
        let pipe = Receiver::from_owned_fd(pipe)?;
        Ok(Self { pipe, kept: Vec::new(), said_more: false })
    }

    fn keep(&mut self, said: &[u8]) {
        let room = OUTPUT_MAX - self.kept.len();
        self.kept.extend_from_slice(said.get(..room).unwrap_or(said));
        self.said_more |= said.len() > room;
    }

    async fn read_all(&mut self) -> Never {
        let mut buffer = vec![0; 16 << 10];
        loop {
            match self.pipe.read(&mut buffer).await {
                // It has closed both, and runs on.
                Ok(0) | Err(_) => return std::future::pending().await,
                Ok(len) => self.keep(buffer.get(..len).unwrap_or_default()),
            }
        }
    }

    /// What is there now.
    fn read_rest(&mut self) {
        let mut buffer = vec![0; 16 << 10];
        while self.kept.len() < OUTPUT_MAX {
            match self.pipe.try_read(&mut buffer) {
                Ok(len @ 1..) => self.keep(buffer.get(..len).unwrap_or_default()),
                _ => return,
            }
        }
    }
}
