//! Who has logged in: cookies, each of 128 random bits, that last while they are shown. Nobody has
//! one who has not shown the token. Not here: who looks at tokens.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::http::token::spell;

/// Visitors at once. One more takes the place of whoever was silent the longest.
const VISITORS_MAX: usize = 256;
/// Questions that wait; whoever asks more waits, too.
const QUESTIONS_LEN: usize = 64;

enum Question {
    Enter(oneshot::Sender<String>),
    Know(String, oneshot::Sender<bool>),
    Leave(String),
}

/// Who has logged in; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Visitors {
    questions: mpsc::Sender<Question>,
}

impl Visitors {
    /// Nobody yet; whoever is silent for `idle_max` is forgotten.
    pub fn start(idle_max: Duration) -> Self {
        let (questions, asked) = mpsc::channel(QUESTIONS_LEN);
        tokio::spawn(keep(idle_max, asked));
        Self { questions }
    }

    /// The cookie of a new one; none when all is over.
    pub async fn enter(&self) -> Option<String> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question::Enter(answer)).await.ok()?;
        answered.await.ok()
    }

    /// Is this the cookie of one?
    pub async fn know(&self, sid: &str) -> bool {
        let (answer, answered) = oneshot::channel();
        let asked = self.questions.send(Question::Know(sid.to_owned(), answer)).await;
        asked.is_ok() && answered.await.unwrap_or(false)
    }

    /// One goes.
    pub async fn leave(&self, sid: &str) {
        // When all is over, so is its visit.
        let _ = self.questions.send(Question::Leave(sid.to_owned())).await;
    }
}

async fn keep(idle_max: Duration, mut asked: mpsc::Receiver<Question>) {
    let mut visitors: HashMap<String, Instant> = HashMap::new();
    while let Some(question) = asked.recv().await {
        let now = Instant::now();
        match question {
            Question::Enter(answer) => {
                visitors.retain(|_, seen| now - *seen < idle_max);
                if visitors.len() >= VISITORS_MAX {
                    let silent = visitors.iter().min_by_key(|(_, seen)| **seen);
                    let silent = silent.map(|(sid, _)| sid.clone());
                    silent.map(|sid| visitors.remove(&sid));
                }
                let sid = spell(rand::random());
                visitors.insert(sid.clone(), now);
                // Whoever asked may have gone, here and below.
                let _ = answer.send(sid);
            }
            Question::Know(sid, answer) => {
                let seen = visitors.get_mut(&sid).filter(|seen| now - **seen < idle_max);
                let is_known = seen.map(|seen| *seen = now).is_some();
                let _ = answer.send(is_known);
            }
            Question::Leave(sid) => _ = visitors.remove(&sid),
        }
    }
}

/// The cookies of this name that a request shows. Some programs send back the whole line that set
/// it, with its attributes: those are pairs as others.
pub(super) fn cookies<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.filter(move |(it, _)| it.trim() == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE_MAX: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn a_visitor_is_known_while_it_speaks() {
        let visitors = Visitors::start(IDLE_MAX);
        let (one, two) = (visitors.enter().await.unwrap(), visitors.enter().await.unwrap());
        assert!(one != two && one.len() == 32);
        for _ in 0..3 {
            tokio::time::advance(IDLE_MAX - Duration::from_secs(1)).await;
            assert!(visitors.know(&one).await);
        }
        assert!(!visitors.know(&two).await, "it was silent");
        assert!(!visitors.know("").await && !visitors.know(&one[..31]).await);
        visitors.leave(&one).await;
        assert!(!visitors.know(&one).await);
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_so_many_at_most() {
        let visitors = Visitors::start(IDLE_MAX);
        let first = visitors.enter().await.unwrap();
        let mut sids = Vec::new();
        for _ in 1..VISITORS_MAX {
            tokio::time::advance(Duration::from_secs(1)).await;
            sids.push(visitors.enter().await.unwrap());
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(visitors.know(&first).await);
        let last = visitors.enter().await.unwrap();
        assert!(visitors.know(&first).await && visitors.know(&last).await);
        assert!(!visitors.know(&sids[0]).await, "it was silent the longest");
        assert!(visitors.know(&sids[1]).await);
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let found = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, line.parse().unwrap());
            }
            cookies(&headers, "SID").map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(found(&["a=b; SID=x; c=d"]), ["x"]);
        assert_eq!(found(&["SID=x; HttpOnly; path=/; SameSite=Strict"]), ["x"]);
        assert_eq!(found(&["SID=x", "SID=y"]), ["x", "y"]);
        assert!(found(&["sid=x; XSID=y", "SID"]).is_empty() && found(&[]).is_empty());
    }
}
