//! What a daemon does by itself: its feeds, folders and hooks, and how they go.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::api::{Errands, FeedStanding, HookStanding, Request, WatchStanding};
use crate::base::units::duration;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::print::wrap;

use super::asking::Remote;

/// Shows them.
pub(super) async fn feeds(remote: &mut Remote) -> Outcome {
    let answer = remote.ask(&Request::Errands).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    remote.show::<Errands>(answer, |errands, voice| screen(errands, now, voice.columns))?;
    Ok(Exit::Done)
}

fn screen(errands: &Errands, now: u64, columns: usize) -> String {
    let Errands { watches, hooks, feeds } = errands;
    if watches.is_empty() && hooks.is_empty() && feeds.is_empty() {
        return "nothing is done by itself: [[feed]], [[watch]] and [[hook]] in the config file say \
                what is to be\n"
            .to_owned();
    }
    let mut screen = String::new();
    let mut add = |head: &str, all: Vec<(String, Vec<String>)>| {
        if all.is_empty() {
            return;
        }
        screen += &format!("{}{head}\n", if screen.is_empty() { "" } else { "\n" });
        for (name, lines) in all {
            screen += &(wrap(&format!("  {}", escape(&name)), columns, 4) + "\n");
            for line in lines {
                screen += &(wrap(&format!("    {}", escape(&line)), columns, 6) + "\n");
            }
        }
    };
    add("Feeds", feeds.iter().map(|it| feed(it, now)).collect());
    add("Folders", watches.iter().map(watch).collect());
    add("Hooks", hooks.iter().map(hook).collect());
    screen
}

fn feed(feed: &FeedStanding, now: u64) -> (String, Vec<String>) {
    let span = |seconds| duration(Duration::from_secs(seconds));
    let asked = match feed.asked_at {
        Some(at) => format!("asked {} ago", span(now.saturating_sub(at))),
        None => "not asked yet".to_owned(),
    };
    let next = feed.next_at.filter(|at| *at > now);
    let next = next.map_or("next now".to_owned(), |at| format!("next in {}", span(at - now)));
    let FeedStanding { items, seen, added, known, failed, .. } = feed;
    let counts = format!("{items} items, {seen} seen; in this run {added} added");
    let counts = counts + &counted(*known, "there before") + &counted(*failed, "given up");
    let lines = [Some(format!("{asked}, {next}")), Some(counts)];
    (feed.name.clone(), told(lines, &feed.trouble, &feed.last_refusal))
}

fn watch(watch: &WatchStanding) -> (String, Vec<String>) {
    let WatchStanding { added, known, refused, waiting, .. } = watch;
    let counts = format!("{added} added")
        + &counted(*known, "there before")
        + &counted(*refused, "refused")
        + &counted(*waiting, "waiting");
    (watch.dir.clone(), told([Some(counts), None], &watch.trouble, &watch.last_refusal))
}

fn hook(hook: &HookStanding) -> (String, Vec<String>) {
    let HookStanding { done, failed, dropped, running, waiting, .. } = hook;
    let counts = format!("told {done}")
        + &counted(*running, "being told")
        + &counted(*waiting, "waiting")
        + &counted(*failed, "failed")
        + &counted(*dropped, "dropped");
    let name = format!("{}: {}", hook.on.join(", "), hook.what);
    (name, told([Some(counts), None], &hook.trouble, &None))
}

fn counted(count: u64, what: &str) -> String {
    if count > 0 { format!(", {count} {what}") } else { String::new() }
}

/// Lines, and what went wrong.
fn told(
    lines: [Option<String>; 2],
    trouble: &Option<String>,
    refusal: &Option<String>,
) -> Vec<String> {
    let trouble = trouble.as_ref().map(|why| format!("trouble: {why}"));
    let refusal = refusal.as_ref().map(|why| format!("refused last: {why}"));
    lines.into_iter().chain([trouble, refusal]).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_is_shown_and_nothing_of_strangers_unescaped() {
        let nothing = screen(&Errands::default(), 0, 80);
        assert!(nothing.starts_with("nothing is done by itself"), "{nothing}");
        let errands = Errands {
            feeds: vec![FeedStanding {
                name: "linux".to_owned(),
                asked_at: Some(1000),
                next_at: Some(1240),
                items: 50,
                seen: 7,
                added: 2,
                last_refusal: Some("a\u{202e}b: no torrent".to_owned()),
                ..FeedStanding::default()
            }],
            watches: vec![WatchStanding {
                dir: "/srv/drop".to_owned(),
                added: 1,
                refused: 3,
                trouble: Some("it is gone".to_owned()),
                ..WatchStanding::default()
            }],
            hooks: vec![HookStanding {
                on: vec!["done".to_owned(), "error".to_owned()],
                what: "/bin/tell".to_owned(),
                done: 4,
                ..HookStanding::default()
            }],
        };
        let expected = "\
Feeds
  linux
    asked ASKED ago, next in NEXT
    50 items, 7 seen; in this run 2 added
    refused last: a\\u{202e}b: no torrent

Folders
  /srv/drop
    1 added, 3 refused
    trouble: it is gone

Hooks
  done, error: /bin/tell
    told 4
";
        let span = |seconds| duration(Duration::from_secs(seconds));
        let expected = expected.replace("ASKED", &span(60)).replace("NEXT", &span(180));
        assert_eq!(screen(&errands, 1060, 80), expected);
    }
}
