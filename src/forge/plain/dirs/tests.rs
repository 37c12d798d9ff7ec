use std::fs;

use crate::forge::plain::dirs::*;
use std::os::unix::ffi::OsStrExt as _;
use tempfile::TempDir;

struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        Tree(tempfile::tempdir().unwrap())
    }

    fn at(&self, path: &str) -> PathBuf {
        fs::canonicalize(self.0.path()).unwrap().join(path)
    }

    fn dir(&self, path: &str) -> PathBuf {
        fs::create_dir_all(self.at(path)).unwrap();
        self.at(path)
    }

    fn bare(&self, path: &str) -> &Self {
        self.dir(&format!("{path}/objects"));
        self.dir(&format!("{path}/refs"));
        fs::write(self.at(path).join("HEAD"), "ref: refs/heads/main\n").unwrap();
        self
    }

    fn working(&self, path: &str) -> &Self {
        self.bare(&format!("{path}/.git"))
    }

    fn gitfile(&self, path: &str, target: &str) -> &Self {
        fs::write(self.dir(path).join(".git"), format!("gitdir: {target}\n")).unwrap();
        self
    }

    async fn list(&self, dirs: &[&str]) -> Listing {
        tree(dirs.iter().map(|dir| self.at(dir)).collect()).list(&|_| ()).await.unwrap()
    }

    async fn names(&self, dirs: &[&str]) -> Vec<String> {
        let listing = self.list(dirs).await;
        assert_eq!(listing.refused, [], "refused");
        listing.repos.iter().map(|repo| repo.path.to_string()).collect()
    }
}

fn tree(dirs: Vec<PathBuf>) -> DirTree {
    DirTree::new("here", dirs, "/nonexistent", CancellationToken::new())
}

#[tokio::test]
async fn working_trees_and_bare_repositories_are_found_and_only_bare_ones_not_searched_further() {
    let tree = Tree::new();
    tree.working("a").working("group/b").bare("group/c.git").working("a/vendored/d").bare("group/c.git/e");
    tree.dir("group/empty");
    let listing = tree.list(&[""]).await;
    let mirrors: Vec<_> = listing.repos.iter().map(|repo| repo.mirror_path().display().to_string()).collect();
    assert_eq!(mirrors, ["local/a.git", "local/a/vendored/d.git", "local/group/b.git", "local/group/c.git"]);
    assert_eq!(listing.repos[2].url.as_file().unwrap(), tree.at("group/b"));
}

#[tokio::test]
async fn a_directory_that_is_a_repository_keeps_its_name_beside_those_within_it() {
    let tree = Tree::new();
    tree.working("project").working("project/inner").bare("store.git");
    assert_eq!(tree.names(&["project"]).await, ["project", "inner"]);
    assert_eq!(tree.names(&["store.git"]).await, ["store"]);
}

#[tokio::test]
async fn several_directories_put_their_own_names_before_what_they_hold() {
    let tree = Tree::new();
    tree.working("one/x").working("two/x");
    assert_eq!(tree.names(&["one", "two"]).await, ["one/x", "two/x"]);
    assert_eq!(tree.names(&["one", "one"]).await, ["one/x"]);
}

#[tokio::test]
async fn a_name_that_is_taken_is_told_apart_or_refused() {
    let tree = Tree::new();
    tree.working("src/x").bare("src/x.git").working("other/src/x");
    let listing = tree.list(&["src", "other/src"]).await;
    let names: Vec<_> = listing.repos.iter().map(|repo| repo.path.to_string()).collect();
    assert_eq!(names, ["src/x", "src/x.git"]);
    assert_eq!(listing.refused[0].what, tree.at("src/x").display().to_string());
    assert!(listing.refused[0].failure.message().ends_with("another repository has the same name"));
}

#[tokio::test]
async fn linked_worktrees_count_with_the_repository_that_holds_them_and_submodules_by_themselves() {
    let tree = Tree::new();
    tree.working("main").bare("main/.git/worktrees/w").bare("main/.git/modules/lib/s").bare("main/.git/modules/unused");
    fs::write(tree.at("main/.git/worktrees/w/commondir"), "../..\n").unwrap();
    tree.gitfile("w", tree.at("main/.git/worktrees/w").to_str().unwrap());
    tree.gitfile("main/lib/s", "../../.git/modules/lib/s");
    assert_eq!(tree.names(&[""]).await, ["main", "main/lib/s", "main/unused"]);
    // Alone, the linked worktree is the only way to its repository.
    assert_eq!(tree.names(&["w"]).await[0], "w");
}

#[tokio::test]
async fn a_head_of_a_linked_worktree_that_no_ref_names_is_a_repository_of_its_own_until_one_does() {
    let tree = Tree::new();
    let admin = tree.working("main").dir("main/.git/worktrees/w");
    fs::write(admin.join("commondir"), "../..\n").unwrap();
    let oid = "1".repeat(40);
    fs::write(admin.join("HEAD"), format!("{oid}\n")).unwrap();
    let source = super::tests::tree(vec![tree.at("")]);
    let listing = source.list(&|_| ()).await.unwrap();
    let lone = &listing.repos[1];
    assert_eq!((lone.path.to_string().as_str(), lone.url.as_file()), ("main/worktrees/w", Some(admin.as_path())));
    fs::write(tree.at("main/.git/packed-refs"), format!("{oid} refs/heads/main\n")).unwrap();
    assert_eq!(tree.names(&[""]).await, ["main"]);
    assert_eq!(source.find(&lone.id).await.unwrap(), None, "its commit is on a branch now");
}

#[tokio::test]
async fn a_repository_keeps_the_name_that_it_has_and_no_other_gets_it() {
    let tree = Tree::new();
    tree.working("one/x").working("two/x");
    let names = HashMap::from([(tree.at("one/x").display().to_string(), RepoPath::parse("x").unwrap())]);
    let names_of = async |dirs: &[&str]| {
        let source = super::tests::tree(dirs.iter().map(|dir| tree.at(dir)).collect()).with_names(names.clone());
        let listing = source.list(&|_| ()).await.unwrap();
        listing.repos.iter().map(|repo| repo.path.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names_of(&["one", "two"]).await, ["x", "two/x"]);
    assert_eq!(names_of(&["two"]).await, ["two/x"]);
}

#[tokio::test]
async fn a_symbolic_link_is_followed_to_a_repository_and_named_when_it_leads_to_other_directories() {
    let (tree, outside) = (Tree::new(), Tree::new());
    outside.working("x").working("many/y");
    tree.working("a").dir("b");
    let link = |target: PathBuf, name: &str| std::os::unix::fs::symlink(target, tree.at(name)).unwrap();
    link(outside.at("x"), "linked");
    link(tree.at("a"), "b/again");
    link(outside.at("many"), "many");
    link(tree.at("b"), "within");
    link(outside.at("nowhere"), "dangling");
    let listing = tree.list(&[""]).await;
    let names: Vec<_> = listing.repos.iter().map(|repo| repo.path.to_string()).collect();
    assert_eq!(names, ["a", "linked"]);
    let [warning] = &listing.warnings[..] else { panic!("{:?}", listing.warnings) };
    assert!(warning.contains(&tree.at("many").display().to_string()) && !warning.contains("within"), "{warning}");
}

#[tokio::test]
async fn a_storage_of_ours_has_mirrors_and_no_checkouts_and_the_runs_own_is_left_alone() {
    let tree = Tree::new();
    let mirror = |path: &str| {
        tree.bare(path);
        fs::write(tree.at(path).join("config"), "[remote \"origin\"]\n\tmirror = true\n").unwrap();
    };
    tree.working("a").dir("mirrors/.holocron/gone");
    mirror("mirrors/h/acme/a.git");
    mirror("mirrors/other/acme/a.git");
    mirror("mirrors/local/b.git");
    mirror("mirrors/.holocron/gone/c.git");
    tree.working("mirrors/h/acme/a").bare("mirrors/h/acme/a/fixture.git");
    let listing = tree.list(&["mirrors"]).await;
    let names: Vec<_> = listing.repos.iter().map(|repo| repo.path.to_string()).collect();
    assert_eq!((names, listing.refused.len()), (vec!["acme/a".into(), "b".into(), "other/acme/a".into()], 0));
    assert_eq!(tree.names(&["mirrors/h"]).await, ["acme/a"], "a part of a storage is one, too");
    // What merely holds a storage is searched without it.
    let listing = tree.list(&[""]).await;
    assert_eq!((listing.repos.len(), listing.warnings.len()), (1, 1), "{listing:?}");
    let own = |dirs: &[&str]| {
        let dirs = dirs.iter().map(|dir| tree.at(dir)).collect();
        DirTree::new("here", dirs, tree.at("mirrors"), CancellationToken::new())
    };
    let listing = own(&[""]).list(&|_| ()).await.unwrap();
    assert_eq!((listing.repos.len(), listing.warnings.len()), (1, 0), "{listing:?}");
    for dir in ["mirrors", "mirrors/h/acme/a"] {
        let listing = own(&[dir]).list(&|_| ()).await.unwrap();
        assert_eq!((listing.repos.len(), listing.refused[0].failure.reason()), (0, Reason::Held), "{dir}");
    }
}

#[tokio::test]
async fn one_of_several_directories_that_holds_nothing_is_named() {
    let tree = Tree::new();
    tree.working("one/x").dir("empty");
    let listing = tree.list(&["one", "empty"]).await;
    assert_eq!((listing.repos.len(), listing.refused[0].failure.reason()), (1, Reason::NothingMatched));
}

#[tokio::test]
async fn what_cannot_be_named_or_read_is_refused_and_the_rest_stands() {
    let tree = Tree::new();
    tree.working("good").working("back\\slash").gitfile("broken", "/nonexistent").working("new\nline");
    let odd = tree.at("").join(std::ffi::OsStr::from_bytes(b"\xff"));
    fs::create_dir_all(odd.join(".git")).unwrap();
    let listing = tree.list(&[""]).await;
    assert_eq!(listing.repos.len(), 1);
    assert_eq!(listing.refused.len(), 4);
    assert!(listing.refused.iter().all(|refused| !refused.what.contains('\n')));
}

#[tokio::test]
async fn a_directory_that_is_not_there_fails_the_listing() {
    let tree = Tree::new();
    tree.working("a");
    let dirs = vec![tree.at(""), tree.at("missing")];
    let failure = super::tests::tree(dirs).list(&|_| ()).await.unwrap_err();
    assert_eq!(failure.reason(), Reason::LocalFailed);
    assert!(failure.message().contains("missing"));
}

#[tokio::test]
async fn a_repository_is_found_again_by_its_path_until_it_is_gone() {
    let tree = Tree::new();
    tree.working("group/a");
    let (source, id) = (super::tests::tree(vec![tree.at("")]), tree.at("group/a").display().to_string());
    assert_eq!(source.find(&id).await.unwrap().unwrap().path.to_string(), "group/a");
    tree.working("other");
    let elsewhere = super::tests::tree(vec![tree.at("other")]);
    assert!(elsewhere.find(&id).await.is_err(), "it exists, whatever is searched");
    fs::remove_dir_all(tree.at("group")).unwrap();
    assert_eq!(source.find(&id).await.unwrap(), None);
}

#[tokio::test]
async fn a_stopped_search_is_no_listing() {
    let tree = Tree::new();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let source = DirTree::new("here", vec![tree.at("")], "/nonexistent", cancel);
    assert_eq!(source.list(&|_| ()).await.unwrap_err().reason(), Reason::Cancelled);
}
