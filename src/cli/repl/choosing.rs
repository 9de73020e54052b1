//! Which files are wanted, how much, and in which order their pieces come.

use crate::api::{Done, File, FilePatch, Key, Patch, Request};
use crate::base::file_priority::FilePriority;
use crate::cli::choice::{only_these, prioritized};
use crate::cli::engine::Engine;
use crate::cli::print::counted;
use crate::cli::values::Ranges;

use super::desk::Desk;
use super::words::Order;

impl Desk {
    /// Answers an order that is about that; none where it is not, or there is no torrent.
    pub(super) async fn answer_choice(&self, order: &Order) -> Option<String> {
        let (engine, key) = (&self.engine, self.used()?.key());
        let answered = match order {
            Order::Select(ranges) => select(engine, key, ranges.as_ref()).await,
            Order::Prioritize { files, priority } => {
                prioritize(engine, key, files.as_ref(), *priority).await
            }
            Order::Sort { sequential, ends_first } => {
                sort(engine, key, *sequential, *ends_first).await
            }
            _ => return None,
        };
        Some(answered.unwrap_or_else(|why| why) + "\n")
    }
}

/// These files and no others of a torrent; all where none are named.
async fn these(engine: &Engine, key: &Key, files: Option<&Ranges>) -> Result<FilePatch, String> {
    let all: Vec<File> = engine.ask(Request::Files(key.clone())).await?;
    let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
    match files {
        Some(ranges) => only_these(ranges, count),
        None => Ok(FilePatch { want: (1..=count).collect(), ..FilePatch::default() }),
    }
}

async fn select(engine: &Engine, key: Key, files: Option<&Ranges>) -> Result<String, String> {
    let these = these(engine, &key, files).await?;
    let count = these.want.len() as u64;
    engine.ask::<Done>(Request::SetFiles(key, these)).await?;
    Ok(format!("{} selected", counted(count, "file")))
}

/// The others stay as they are.
async fn prioritize(
    engine: &Engine,
    key: Key,
    files: Option<&Ranges>,
    priority: FilePriority,
) -> Result<String, String> {
    let meant = these(engine, &key, files).await?.want;
    let count = meant.len() as u64;
    engine.ask::<Done>(Request::SetFiles(key, prioritized(meant, priority))).await?;
    let how = match priority {
        FilePriority::Off => "not wanted",
        FilePriority::Low => "wanted last",
        FilePriority::Normal => "wanted as most are",
        FilePriority::High => "wanted first",
    };
    let are = if count == 1 { "is" } else { "are" };
    Ok(format!("{} {are} {how}", counted(count, "file")))
}

async fn sort(
    engine: &Engine,
    key: Key,
    sequential: bool,
    ends_first: bool,
) -> Result<String, String> {
    let order =
        Patch { sequential: Some(sequential), ends_first: Some(ends_first), ..Patch::default() };
    engine.ask::<Done>(Request::Set(key, Box::new(order))).await?;
    let then = if sequential { "pieces come in order" } else { "the rarest pieces come first" };
    Ok(match ends_first {
        true => format!("the ends of files come first, then {then}"),
        false => then.to_owned(),
    })
}
