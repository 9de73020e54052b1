//! `driver` without arguments: a menu for people who do not read manuals. It shares, downloads
//! and lists by name, with the tracker of the local network; what it starts runs behind it in
//! one session until it is left. Plain numbered lines, so that a pipe can type as well. Not
//! here: how any of that is done, which is as in the commands of the same names.

mod deeds;

use std::time::Instant;

use tokio::sync::mpsc;

use crate::session::Memory;
use crate::torrent::status::{State, Status};
use crate::tracker::catalogue_client::CatalogueClient;

use super::args::{Common, Options};
use super::catalogue::{
    Choice, REPLACED, Standing, failure, first_of, is_replacement, look, title,
};
use super::commands::download::{session_config, torrent_options};
use super::engine::Engine;
use super::escape::escape;
use super::exit::{Exit, Failure, Outcome};
use super::item::{Told, What};
use super::job::in_runtime;
use super::live::{End, goodbye_to, stop_all};
use super::logs::Unnamed;
use super::out;
use super::print::{list_screen, wrap};
use super::repl::Talk;
use super::repl::desk::{Desk, Refused};
use super::repl::printer::Printer;
use super::repl::reader::{Line, read_pipe, read_questions};
use super::search::Found;
use super::stop::Stopper;
use super::trusted::Trusted;
use super::why::{Among, why_words};

const CHOICES: &str = "
  1  share a file or folder
  2  download something
  3  list what there is
  4  status of what runs, and what it waits for
  5  stop one that runs
  6  quit
";

/// Shows the menu until it is left.
///
/// # Errors
/// When an option cannot be honoured, or the session cannot start.
pub fn run(options: Options, common: &Common) -> Outcome {
    let session = session_config(&options, common)?;
    let memory = session.memory;
    let state_dir = session.state_dir.clone();
    // What the log says must not land between questions.
    in_runtime(common, Unnamed::In(&state_dir), &state_dir, async |stopper| {
        let engine = Engine::start(session).await?;
        let (desk, told) = Desk::new(engine, torrent_options(&options), true);
        let questions = match Talk::choose(false, false) {
            Talk::Prompt => Some(read_questions(stopper.clone()).map_err(anyhow::Error::from)?),
            _ => None,
        };
        let (questions, lines, printer) = match questions {
            Some(it) => (Some(it.ask), it.lines, Some(it.printer)),
            None => (None, read_pipe(), None),
        };
        let token = std::env::var("DRIVER_TOKEN").ok().filter(|token| !token.is_empty());
        let client = None;
        let menu =
            Menu { desk, told, questions, lines, printer, stopper, options, memory, client, token };
        menu.run().await
    })
}

/// The menu and what runs behind it.
struct Menu {
    desk: Desk,
    told: mpsc::Receiver<Told>,
    /// Asks with a line editor, on a terminal that has one.
    questions: Option<mpsc::Sender<String>>,
    lines: mpsc::Receiver<Line>,
    /// Prints above a question, there.
    printer: Option<Printer>,
    stopper: Stopper,
    options: Options,
    memory: Memory,
    /// The tracker, once it is known.
    client: Option<CatalogueClient>,
    /// What was typed or given as the tracker's token.
    token: Option<String>,
}

/// What a question comes to, when it is not answered: the menu is left.
struct Left;

/// Why something in the menu was not done.
enum Undone {
    /// It failed.
    Failed(Failure),
    /// The user thought better of it.
    Dropped,
    /// The menu is left.
    Left,
}

impl From<Failure> for Undone {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Left> for Undone {
    fn from(_: Left) -> Self {
        Self::Left
    }
}

impl Menu {
    async fn run(mut self) -> Result<End, Failure> {
        out::answer_wrapped("Pigeon shares files with people near you. Type a number and Enter.\n");
        while self.step().await.is_ok() {}
        // A question that was cut off leaves the terminal in raw mode.
        self.stopper.restore_terminal();
        while let Ok(told) = self.told.try_recv() {
            let line = self.on_told(told).await;
            line.iter().for_each(|line| out::answer_wrapped(&format!("{line}\n")));
        }
        let statuses: Vec<Status> =
            self.desk.items.iter().map(|item| item.handle.status()).collect();
        let items = &self.desk.items;
        let done = items.iter().filter(|item| item.exit() == Exit::Done).count();
        let worst = items.iter().fold(Exit::Done, |worst, item| worst.worst(item.exit()));
        let searches = self.desk.take_searches();
        let is_sought = !searches.is_empty();
        tokio::join!(self.desk.engine.stop(), stop_all(searches));
        if !statuses.is_empty() {
            out::answer_wrapped(&goodbye_to(&statuses, done));
        }
        let worst = if is_sought { worst.worst(Exit::Incomplete) } else { worst };
        Ok(match worst {
            Exit::Done => End::Complete,
            exit => End::Short(exit),
        })
    }

    /// One choice; an error leaves the menu.
    async fn step(&mut self) -> Result<(), Left> {
        out::answer_wrapped(CHOICES);
        let choice = self.ask("> ").await?;
        let deed = match choice.as_str() {
            "1" => self.share().await,
            "2" => self.download().await,
            "3" => self.list().await,
            "4" => {
                self.show_status().await;
                Ok(())
            }
            "5" => self.stop_one().await,
            "6" | "q" | "quit" | "exit" => return Err(Left),
            "" => Ok(()),
            _ => {
                out::answer_wrapped("Type a number from 1 to 6, then Enter.\n");
                Ok(())
            }
        };
        match deed {
            Ok(()) | Err(Undone::Dropped) => Ok(()),
            Err(Undone::Left) => Err(Left),
            Err(Undone::Failed(failure)) => {
                out::answer_wrapped(&format!("That did not work: {failure}\n"));
                Ok(())
            }
        }
    }

    async fn show_status(&self) {
        match self.desk.items.is_empty() && self.desk.searches.is_empty() {
            true => out::answer_wrapped("Nothing runs: share or download something first.\n"),
            false => {
                self.show_rows();
                for search in &self.desk.searches {
                    let line = format!("{}{}", search.prefix(), search.words());
                    out::answer(&(wrap(&line, out::columns(), 2) + "\n"));
                }
                for item in &self.desk.items {
                    if !matches!(item.handle.state(), State::Complete | State::Finished) {
                        let waiting = self.desk.engine.waiting(&item.key()).await;
                        let why = waiting.map_or_else(
                            |why| why,
                            |waiting| why_words(&waiting, item.number, Among::Alone),
                        );
                        // Advice speaks of commands, and there are none here.
                        let lines = why.lines().filter(|it| !it.starts_with("What to do: "));
                        let lines = lines.map(|line| wrap(line, out::columns(), 2) + "\n");
                        out::answer(&format!("{}:\n{}", item.title(), lines.collect::<String>()));
                    }
                }
            }
        }
    }

    fn show_rows(&self) {
        let (rows, _) = self.desk.rows();
        let count = rows.len();
        // The last line of several speaks of commands, and there are none here.
        let screen = list_screen(rows.into_iter(), None, out::columns());
        let lines = screen.lines().take(count + 1);
        out::answer(&(lines.collect::<Vec<_>>().join("\n") + "\n"));
    }

    /// Ends one of those that run; what is there stays.
    async fn stop_one(&mut self) -> Result<(), Undone> {
        if self.desk.items.is_empty() && self.desk.searches.is_empty() {
            out::answer_wrapped("Nothing runs.\n");
            return Ok(());
        }
        self.show_rows();
        let typed = self.ask("Number of the one to stop (empty: back): ").await?;
        if typed.is_empty() {
            return Err(Undone::Dropped);
        }
        let number = self.desk.find(&typed).map_err(Failure::bad_input)?;
        if let Some(title) = self.desk.remove_search(number).await {
            out::answer_wrapped(&format!("{title} is not looked for any more\n"));
        }
        if let Some((title, path)) = self.desk.remove(number).await {
            let path = escape(&path.display().to_string());
            out::answer_wrapped(&format!("{title} is stopped; what is there stays in {path}\n"));
        }
        Ok(())
    }

    /// Asks; meanwhile what happens to the torrents is told.
    async fn ask(&mut self, question: &str) -> Result<String, Left> {
        match &self.questions {
            Some(questions) => questions.send(question.to_owned()).await.map_err(|_| Left)?,
            None => out::answer(question),
        }
        loop {
            tokio::select! {
                biased;
                () = self.stopper.asked() => {
                    out::answer("\n");
                    return Err(Left);
                }
                line = self.lines.recv() => {
                    let Line { text, done } = line.ok_or(Left)?;
                    // A reader that is gone needs no answer.
                    let _ = done.send(true);
                    return Ok(text.trim().to_owned());
                }
                Some(told) = self.told.recv() => {
                    match (self.on_told(told).await, &mut self.printer) {
                        (Some(line), Some(printer)) => printer.print(&format!("{line}\n")),
                        (Some(line), None) => out::answer(&format!("\n{line}\n{question}")),
                        (None, _) => {}
                    }
                }
            }
        }
    }

    /// What is worth telling of what happened.
    async fn on_told(&mut self, Told { number, what, .. }: Told) -> Option<String> {
        let what = match what {
            What::Sought(found) => return self.on_sought(number, *found).await,
            What::Said(line) => {
                let search = self.desk.searches.iter().find(|search| search.number == number);
                return search.map(|search| search.prefix() + &line);
            }
            what => what,
        };
        let item = self.desk.item_mut(number)?;
        match what {
            What::News(_) => None,
            What::Status(status) => {
                if let Some(failure) = item.failure(&status).filter(|_| item.failed.is_none()) {
                    item.failed = Some(failure.exit);
                    return Some(format!("{} failed: {failure}", item.title()));
                }
                let is_complete = matches!(status.state, State::Complete | State::Finished);
                if !is_complete || item.completed.is_some() {
                    return None;
                }
                item.completed = Some(Instant::now());
                let place = escape(&item.place().display().to_string());
                Some(match item.is_seed_only {
                    true => format!("{} is there for others until you quit.", item.title()),
                    false => format!(
                        "{} is complete: {place}. Others can have it from you until you quit.",
                        item.title()
                    ),
                })
            }
            What::Ended if item.failed.is_none() => {
                item.failed = Some(Exit::Unexpected);
                Some(format!("{} ended by itself: see the log", item.title()))
            }
            What::Ended | What::Said(_) | What::Sought(_) | What::Summed(_) => None,
        }
    }

    /// What is said of a search that has ended.
    async fn on_sought(&mut self, number: usize, found: Result<Found, Failure>) -> Option<String> {
        let search = self.desk.searches.iter().find(|search| search.number == number)?;
        let title = search.title();
        let mut told = Vec::new();
        match self.desk.take_found(number, found, &mut told).await {
            Ok(taken) => {
                taken?;
                let place = escape(&self.desk.item_mut(number)?.place().display().to_string());
                told.push(format!("{title} is found: downloading it to {place}"));
            }
            Err(Refused::Twice(words, given)) => told.push(words + &given),
            Err(Refused::Failed(failure)) => told.push(format!("{title} failed: {failure}")),
        }
        Some(told.join("\n"))
    }

    /// The tracker: the one given, found or typed before; then the one that answers on this
    /// network, or one of several, or what is typed.
    async fn client(&mut self) -> Result<CatalogueClient, Undone> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = match first_of(&self.options.tracker).cloned() {
            Some(url) => CatalogueClient::new(&url, self.desk.engine.egress())
                .map_err(|error| failure(&error))?,
            None => self.find_tracker().await?,
        };
        // One that does not answer is asked for again.
        client.list().await.map_err(|error| failure(&error))?;
        Ok(self.client.insert(client).clone())
    }

    async fn find_tracker(&mut self) -> Result<CatalogueClient, Undone> {
        let mut trusted = Trusted::load();
        let egress = self.desk.engine.egress().clone();
        let (find_port, token) = (self.options.find_port, self.token.as_deref());
        let choice = look(&egress, find_port, token, &trusted).await;
        let client =
            |url: &str| CatalogueClient::found(url, &egress).map_err(|error| failure(&error));
        let several = match choice {
            Choice::One(only) if is_replacement(&only, &trusted) => {
                out::answer_wrapped(&format!("{REPLACED}:\n"));
                vec![only]
            }
            Choice::One(only) => {
                out::answer_wrapped(&format!("Using the tracker {}\n", title(&only.tracker)));
                if let Standing::Proven(key) = only.standing {
                    trusted.remember(key, &only.tracker.url);
                }
                return Ok(client(&only.tracker.url)?);
            }
            nobody @ (Choice::Nobody | Choice::Off(_)) => {
                out::answer_wrapped(&match nobody {
                    Choice::Off(why) => format!("No tracker is looked for: {why}.\n"),
                    _ => "No tracker answers on this network. Somebody starts one by: \
                          driver tracker --listen 6969\n"
                        .to_owned(),
                });
                let typed = self.ask("Its address, like 10.0.0.2 (empty: back): ").await?;
                if typed.is_empty() {
                    return Err(Undone::Dropped);
                }
                return Ok(CatalogueClient::new(&typed, &egress).map_err(|error| failure(&error))?);
            }
            Choice::Several(several) => several,
            Choice::Unproven(several) => {
                out::answer_wrapped("None of these has shown that it knows the token:\n");
                several
            }
        };
        for (position, it) in several.iter().enumerate() {
            out::answer_wrapped(&format!("{:>4}  {}\n", position + 1, title(&it.tracker)));
        }
        let typed = self.ask("Which tracker (empty: back): ").await?;
        if typed.is_empty() {
            return Err(Undone::Dropped);
        }
        let number = typed.parse::<usize>().ok().and_then(|it| it.checked_sub(1));
        let chosen = number.and_then(|number| several.get(number));
        let chosen = chosen.ok_or_else(|| deeds::no_number(&typed, several.len()))?;
        // What the user chose once is meant the next time as well.
        if let Some(key) = chosen.standing.key() {
            trusted.remember(key, &chosen.tracker.url);
        }
        Ok(client(&chosen.tracker.url)?)
    }
}
