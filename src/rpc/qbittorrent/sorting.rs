//! Categories and tags: those that there are, and those of torrents. Which label of a torrent is
//! which is said in `mapping`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::{Answer, Patch, Refusal, Request};
use crate::rpc::gate::Several;

use super::book::Book;
use super::desk::{Desk, key_of};
use super::form::Form;
use super::mapping::Seen;
use super::said::{Fault, Reply, Said};
use super::sync::category;

/// The longest category and tag: they become labels.
const NAME_LEN_MAX: usize = 64;
/// Categories and tags that are kept.
const NAMES_MAX: usize = 2000;

/// The answer to `torrents/ACTION`; none where the action is about something else.
pub(super) async fn answer(desk: &Desk, action: &str, form: &Form) -> Option<Reply> {
    Some(match action {
        "categories" => {
            let book = desk.shelf.book().await;
            let all = book.categories.keys().map(|name| (name.clone(), category(&book, name)));
            Ok(Said::Json(Value::Object(all.collect())))
        }
        "tags" => match desk.journal.tags().await {
            Ok(tags) => Ok(Said::Json(json!(tags))),
            Err(refusal) => Err(refusal.into()),
        },
        "createCategory" => create_category(desk, form).await,
        "editCategory" => edit_category(desk, form).await,
        "removeCategories" => remove_categories(desk, form).await,
        "setCategory" => set_category(desk, form).await,
        "createTags" => create_tags(desk, &tags_of(form)).await,
        "deleteTags" => delete_tags(desk, form).await,
        "addTags" => change_tags(desk, form, Change::Add).await,
        "removeTags" => change_tags(desk, form, Change::Remove).await,
        "setTags" => change_tags(desk, form, Change::Set).await,
        _ => return None,
    })
}

/// Is it a name of a category?
fn is_name(name: &str) -> bool {
    let is_plain = |part: &str| !part.trim().is_empty();
    name.len() <= NAME_LEN_MAX && !name.contains(['\\', '\n', ',']) && name.split('/').all(is_plain)
}

/// Makes a category that is not there.
pub(super) fn add_category(book: &mut Book, name: String, dir: String) -> Result<(), String> {
    if !is_name(&name) {
        return Err("Incorrect category name".to_owned());
    }
    if book.categories.len() >= NAMES_MAX {
        return Err(format!("{NAMES_MAX} categories are as many as there can be"));
    }
    book.categories.insert(name, dir);
    Ok(())
}

async fn create_category(desk: &Desk, form: &Form) -> Reply {
    let (name, dir) = (form.text("category").to_owned(), form.text("savePath").to_owned());
    if name.is_empty() {
        return Err(Fault::bad("Category name is empty"));
    }
    let change = move |book: &mut Book| match book.categories.contains_key(&name) {
        true => Err("Unable to create category".to_owned()),
        false => add_category(book, name, dir),
    };
    desk.shelf.change(change).await?;
    Ok(Said::DONE)
}

async fn edit_category(desk: &Desk, form: &Form) -> Reply {
    let (name, dir) = (form.text("category").to_owned(), form.text("savePath").to_owned());
    if name.is_empty() {
        return Err(Fault::bad("Category name is empty"));
    }
    let change = move |book: &mut Book| match book.categories.get_mut(&name) {
        Some(known) if *known != dir => {
            *known = dir;
            Ok(())
        }
        _ => Err("Unable to edit category".to_owned()),
    };
    desk.shelf.change(change).await?;
    Ok(Said::DONE)
}

async fn remove_categories(desk: &Desk, form: &Form) -> Reply {
    let names = form.value("categories").ok_or_else(|| Fault::bad("Bad Request"))?;
    let names: Vec<String> = names.lines().map(str::to_owned).collect();
    let (all, book) = desk.journal.all().await?;
    let mut labelled = Several::new();
    for seen in &all {
        let category = book.category(&seen.torrent.labels);
        if category.is_some_and(|it| names.iter().any(|name| name == it)) {
            labelled.note(label(desk, seen, None, tags(seen, &book)).await);
        }
    }
    labelled.end::<Fault>()?;
    let change = move |book: &mut Book| {
        names.iter().for_each(|name| _ = book.categories.remove(name));
        Ok(())
    };
    desk.shelf.change(change).await?;
    Ok(Said::DONE)
}

async fn set_category(desk: &Desk, form: &Form) -> Reply {
    let name = form.value("category").ok_or_else(|| Fault::bad("Bad Request"))?;
    let book = desk.shelf.book().await;
    if !name.is_empty() && !book.categories.contains_key(name) {
        return Err(Fault::conflict("Incorrect category name"));
    }
    let name = Some(name).filter(|name| !name.is_empty());
    let mut labelled = Several::new();
    for seen in desk.several(form, "hashes").await? {
        labelled.note(label(desk, &seen, name, tags(&seen, &book)).await);
    }
    labelled.end().map(|()| Said::DONE)
}

/// The tags that a form names.
pub(super) fn tags_of(form: &Form) -> Vec<String> {
    form.list("tags", ',').map(str::to_owned).collect()
}

/// Keeps tags, whether torrents have them or not.
///
/// # Errors
/// One is too long, or there are too many.
pub(super) async fn create_tags(desk: &Desk, tags: &[String]) -> Reply {
    if tags.iter().any(|tag| tag.len() > NAME_LEN_MAX) {
        return Err(Fault::conflict(format!("a tag has at most {NAME_LEN_MAX} bytes")));
    }
    let tags = tags.to_vec();
    let change = move |book: &mut Book| {
        book.tags.extend(tags);
        match book.tags.len() > NAMES_MAX {
            true => Err(format!("{NAMES_MAX} tags are as many as there can be")),
            false => Ok(()),
        }
    };
    desk.shelf.change(change).await?;
    Ok(Said::DONE)
}

async fn delete_tags(desk: &Desk, form: &Form) -> Reply {
    let gone = tags_of(form);
    let (all, book) = desk.journal.all().await?;
    let mut labelled = Several::new();
    for seen in &all {
        let before = tags(seen, &book);
        let mut after = before.clone();
        after.retain(|tag| !gone.contains(tag));
        if before != after {
            labelled.note(label(desk, seen, book.category(&seen.torrent.labels), after).await);
        }
    }
    labelled.end::<Fault>()?;
    let change = move |book: &mut Book| {
        book.tags.retain(|tag| !gone.contains(tag));
        Ok(())
    };
    desk.shelf.change(change).await?;
    Ok(Said::DONE)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Add,
    Remove,
    Set,
}

async fn change_tags(desk: &Desk, form: &Form, change: Change) -> Reply {
    let (these, named) = (desk.several(form, "hashes").await?, tags_of(form));
    if change != Change::Remove {
        create_tags(desk, &named).await?;
    }
    let book = desk.shelf.book().await;
    let mut labelled = Several::new();
    for seen in these {
        let mut after = tags(&seen, &book);
        match change {
            Change::Add => after
                .extend(named.iter().filter(|it| !after.contains(it)).cloned().collect::<Vec<_>>()),
            Change::Remove if named.is_empty() => after.clear(),
            Change::Remove => after.retain(|tag| !named.contains(tag)),
            Change::Set => after.clone_from(&named),
        }
        labelled.note(label(desk, &seen, book.category(&seen.torrent.labels), after).await);
    }
    labelled.end().map(|()| Said::DONE)
}

fn tags(seen: &Seen, book: &Book) -> Vec<String> {
    seen.tags(book).map(str::to_owned).collect()
}

/// Gives a torrent this category and these tags. What rules say of it is theirs, and stays so.
async fn label(
    desk: &Desk,
    seen: &Arc<Seen>,
    category: Option<&str>,
    tags: Vec<String>,
) -> Result<(), Refusal> {
    let ruled = match desk.api.answer(Request::Rules(key_of(seen))).await {
        Ok(Answer::Rules(ruled)) => ruled.labels,
        _ => Vec::new(),
    };
    let mut labels: Vec<String> = category.map(str::to_owned).into_iter().collect();
    labels.extend(tags.into_iter().filter(|tag| !ruled.contains(tag)));
    labels.dedup();
    let patch = Patch { labels: Some(labels), ..Patch::default() };
    desk.set_one(seen, patch).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_has_a_name_that_paths_can_have() {
        for good in ["tv", "tv/anime", "a b", "ü"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a//b", "a\\b", "a\nb", "a,b", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
