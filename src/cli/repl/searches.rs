//! Links among the torrents of a run: their searches begin and end here, become torrents, and
//! answer the commands that speak of them.

use crate::base::units::duration;
use crate::cli::escape::escape;
use crate::cli::exit::Failure;
use crate::cli::out;
use crate::cli::print::{counted, link_screen, seekers_screen, wrap};
use crate::cli::search::{Found, Search, Wish};
use crate::metainfo::{Magnet, Torrent};
use crate::session::TorrentOptions;

use super::desk::{Desk, Refused};
use super::words::Order;

/// Columns of the names of a search's `status`.
const NAME_COLUMNS: usize = 11;

impl Desk {
    /// Begins to search for what a link means; its search.
    ///
    /// # Errors
    /// `Twice` when the torrent or a search for it is there, which gets the link's peers.
    pub async fn seek(&mut self, wish: Wish) -> Result<&Search, Refused> {
        let is_same = |search: &Search| search.wish.is_same(&wish.link);
        if let Some(position) = self.searches.iter().position(is_same) {
            let (words, given) = self.merge_search(position, &wish).await;
            return Err(Refused::Twice(words, given));
        }
        if let Some(there) = self.items.iter().find(|item| wish.is_of(&item.torrent)) {
            let words = format!("{} is the same torrent as {}", escape(&wish.named), there.title());
            let peers: Vec<_> = wish.link.addresses().collect();
            let peers = self.introduce(&peers, there).await;
            let known: Vec<&String> = there.torrent.trackers.iter().flatten().collect();
            let trackers = not_asked(&wish.link, |url| known.contains(&url));
            return Err(Refused::Twice(words, peers + &trackers));
        }
        let request = wish.request().map_err(Refused::Failed)?;
        let seeking = self.engine.seek(request).await.map_err(Refused::Failed)?;
        let number = self.next_number();
        if self.items.is_empty() && self.searches.is_empty() {
            self.used = number;
        }
        let (egress, has_dht) = (self.engine.egress().clone(), self.engine.dht().is_some());
        let told = self.told.clone();
        self.searches.push(Search::follow(number, wish, seeking, egress, has_dht, told));
        self.show_titles();
        Ok(&self.searches[self.searches.len() - 1])
    }

    /// Gives the peers of a link to the search for the same torrent.
    async fn merge_search(&mut self, position: usize, wish: &Wish) -> (String, String) {
        let search = &mut self.searches[position];
        let known = search.wish.trackers();
        let trackers = not_asked(&wish.link, |url| known.contains(url));
        let mut count = 0;
        for address in wish.link.addresses() {
            if !search.wish.link.addresses().any(|known| known == address) {
                search.add_peer(address).await;
                count += 1;
            }
        }
        let peers = match count {
            0 => String::new(),
            1 => "; 1 peer is asked too".to_owned(),
            _ => format!("; {count} peers are asked too"),
        };
        let named = escape(&wish.named);
        (format!("{named} is the same torrent as {}", search.title()), peers + &trackers)
    }

    /// Takes in what a search has found, and ends it: the torrent with the options that it runs
    /// with. What there is to say of the link goes to `told`. None when nobody waits for it any
    /// more.
    ///
    /// # Errors
    /// Why the search failed, or as [`Desk::add`].
    pub async fn take_found(
        &mut self,
        number: usize,
        found: Result<Found, Failure>,
        told: &mut Vec<String>,
    ) -> Result<Option<TorrentOptions>, Refused> {
        let Some(position) = self.searches.iter().position(|it| it.number == number) else {
            return Ok(None);
        };
        let search = self.searches.remove(position);
        let taken = self.take_sought(number, search.wish, found, told).await;
        if taken.is_err() {
            self.pass_on(number);
        }
        self.show_titles();
        taken.map(Some)
    }

    async fn take_sought(
        &mut self,
        number: usize,
        wish: Wish,
        found: Result<Found, Failure>,
        told: &mut Vec<String>,
    ) -> Result<TorrentOptions, Refused> {
        let Found { loaded, contacts, told: left_out } = found.map_err(Refused::Failed)?;
        told.extend(left_out);
        let chosen = match wish.choose(loaded, told) {
            Ok(chosen) => chosen,
            Err(failure) => {
                if let Some(contacts) = contacts {
                    contacts.leave().await;
                }
                return Err(Refused::Failed(failure));
            }
        };
        let options = chosen.options.clone();
        self.add_among(chosen, Some(number), contacts).await?;
        Ok(options)
    }

    /// Ends the search for a torrent that came another way; its number. The torrent gets the
    /// peers and trackers of its link.
    pub(super) async fn end_search_of(
        &mut self,
        torrent: &Torrent,
        options: &mut TorrentOptions,
    ) -> Option<usize> {
        let position = self.searches.iter().position(|it| it.wish.is_of(torrent))?;
        let search = self.searches.remove(position);
        let number = search.number;
        if !torrent.private {
            options.peers.extend(search.wish.link.addresses());
        }
        for url in &search.wish.link.trackers {
            let mut known = torrent.trackers.iter().flatten().chain(&options.extra_trackers);
            if !known.any(|known| known == url) {
                options.extra_trackers.push(url.clone());
            }
        }
        search.stop().await;
        Some(number)
    }

    /// Ends a search that the user wants no more; its title.
    pub async fn remove_search(&mut self, number: usize) -> Option<String> {
        let position = self.searches.iter().position(|it| it.number == number)?;
        let search = self.searches.remove(position);
        self.pass_on(number);
        self.show_titles();
        let title = search.title();
        search.stop().await;
        Some(title)
    }

    /// All searches, to end them.
    pub fn take_searches(&mut self) -> Vec<Search> {
        std::mem::take(&mut self.searches)
    }

    /// Commands spoke of this one, which is gone: from now on of its neighbour.
    pub(super) fn pass_on(&mut self, gone: usize) {
        if self.used != gone {
            return;
        }
        let items = self.items.iter().map(|item| item.number);
        let mut numbers: Vec<usize> =
            items.chain(self.searches.iter().map(|search| search.number)).collect();
        numbers.sort_unstable();
        let next = numbers.iter().find(|number| **number > gone).or(numbers.last());
        self.used = next.copied().unwrap_or(gone);
    }

    /// The search that commands speak of, if they speak of one.
    pub fn used_search(&self) -> Option<&Search> {
        let search = self.searches.iter().find(|search| search.number == self.used);
        search.or_else(|| self.searches.first().filter(|_| self.items.is_empty()))
    }

    /// The answer to an order that is about the search that commands speak of.
    pub(super) async fn answer_search(&mut self, order: &Order) -> Option<String> {
        let number = self.used_search()?.number;
        let name = if self.is_several { self.used_search()?.prefix() } else { String::new() };
        let search = self.searches.iter_mut().find(|search| search.number == number)?;
        let columns = out::line_columns();
        Some(match order {
            Order::Info { .. } => {
                link_screen(&search.wish.link, columns) + "Its metadata is sought: see status\n"
            }
            Order::Status { .. } => status_screen(search, columns),
            Order::Why => {
                let mut lines: Vec<String> = search.why().lines().map(str::to_owned).collect();
                if let Some(why) = search.failed().await {
                    // Before what to do.
                    lines.insert(lines.len().saturating_sub(1), format!("Not reached: {why}"));
                }
                lines.iter().map(|line| wrap(line, columns, 2) + "\n").collect()
            }
            Order::Peers { all } => {
                let (links, known) = search.desk.peers().await;
                match search.failed().await.filter(|_| !*all && links.is_empty()) {
                    Some(why) => {
                        let words = format!("no peers connected; {why} (peers -a lists all)");
                        wrap(&words, out::columns(), 2) + "\n"
                    }
                    None => seekers_screen(&links, &known, *all, out::columns()),
                }
            }
            Order::AddPeer(address) => {
                search.add_peer(*address).await;
                format!("{name}trying {address}\n")
            }
            Order::Trackers | Order::Announce => match search.status().tracker {
                Some(words) => {
                    let words = escape(&crate::cli::print::hide_keys(&words));
                    wrap(&format!("tracker {words}"), columns, 2) + "\n"
                }
                None => "there is no tracker (start with --tracker URL)\n".to_owned(),
            },
            _ => {
                let words = "its metadata is not here yet, so that cannot be done: why tells what \
                             is waited for";
                wrap(&format!("{name}{words}"), columns, 2) + "\n"
            }
        })
    }

    /// The screens of `status all` of the searches.
    pub(super) fn searches_screens(&self) -> Vec<(usize, String)> {
        let columns = out::line_columns();
        let screen = |it: &Search| format!("{}\n{}", it.title(), status_screen(it, columns));
        self.searches.iter().map(|search| (search.number, screen(search))).collect()
    }
}

/// What is said of trackers that a running torrent cannot be given.
fn not_asked(link: &Magnet, is_known: impl Fn(&String) -> bool) -> String {
    match link.trackers.iter().filter(|url| !is_known(url)).count() {
        0 => String::new(),
        count => format!(
            "; {} of this link left unasked (start with --tracker URL to ask more)",
            counted(count as u64, "tracker")
        ),
    }
}

/// The screen of `status`.
fn status_screen(search: &Search, columns: usize) -> String {
    let status = search.status();
    let rows = [
        ("State", search.words()),
        (
            "Peers",
            format!(
                "{} connected, {} dialled, {} known",
                status.connected, status.dialling, status.candidates
            ),
        ),
        ("Running", duration(search.running())),
    ];
    let row = |(name, value): &(&str, String)| {
        wrap(&format!("{name:<NAME_COLUMNS$}{value}"), columns, NAME_COLUMNS) + "\n"
    };
    rows.iter().map(row).collect()
}
