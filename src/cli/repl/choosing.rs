//! Which files are wanted, how much, and in which order their pieces come.

use crate::base::file_priority::FilePriority;
use crate::cli::print::counted;
use crate::cli::selection::wanted_files;
use crate::cli::values::Ranges;
use crate::session::{FileWish, Setting};

use super::desk::Desk;
use super::words::Order;

impl Desk {
    /// Answers an order that is about that; none where it is not, or there is no torrent.
    pub(super) async fn answer_choice(&mut self, order: &Order) -> Option<String> {
        let answered = match order {
            Order::Select(ranges) => self.select(ranges.as_ref()).await,
            Order::Prioritize { files, priority } => {
                self.prioritize(files.as_ref(), *priority).await
            }
            Order::Sort { sequential, ends_first } => self.sort(*sequential, *ends_first).await,
            _ => return None,
        };
        answered.map(|answer| answer.unwrap_or_else(|why| why) + "\n")
    }

    async fn select(&mut self, ranges: Option<&Ranges>) -> Option<Result<String, String>> {
        let item = self.used_mut()?;
        let wanted = match wanted_files(&item.torrent, ranges, None) {
            Ok(wanted) => wanted,
            Err(why) => return Some(Err(why)),
        };
        item.handle.select_files(wanted.clone()).await;
        item.wanted = wanted;
        Some(Ok(format!("{} selected", counted(item.chosen().len() as u64, "file"))))
    }

    /// The others stay as they are.
    async fn prioritize(
        &mut self,
        files: Option<&Ranges>,
        priority: FilePriority,
    ) -> Option<Result<String, String>> {
        let engine = self.engine.clone();
        let item = self.used_mut()?;
        let meant = match wanted_files(&item.torrent, files, None) {
            Ok(meant) => meant,
            Err(why) => return Some(Err(why)),
        };
        let meant: Vec<usize> = (0..meant.len()).filter(|at| meant[*at]).collect();
        let some = meant.iter().map(|at| (*at, FileWish::Priority(priority))).collect();
        let set = engine.set(item.handle.id(), Setting::SomeFiles(some)).await;
        Some(set.map(|()| {
            for at in &meant {
                item.wanted[*at] = priority.is_wanted();
            }
            let how = match priority {
                FilePriority::Off => "not wanted",
                FilePriority::Low => "wanted last",
                FilePriority::Normal => "wanted as most are",
                FilePriority::High => "wanted first",
            };
            let are = if meant.len() == 1 { "is" } else { "are" };
            format!("{} {are} {how}", counted(meant.len() as u64, "file"))
        }))
    }

    async fn sort(&self, sequential: bool, ends_first: bool) -> Option<Result<String, String>> {
        let id = self.used()?.handle.id();
        for setting in [Setting::Sequential(sequential), Setting::EndsFirst(ends_first)] {
            if let Err(why) = self.engine.set(id, setting).await {
                return Some(Err(why));
            }
        }
        let then = if sequential { "pieces come in order" } else { "the rarest pieces come first" };
        Some(Ok(match ends_first {
            true => format!("the ends of files come first, then {then}"),
            false => then.to_owned(),
        }))
    }
}
