use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::git::refs::{Oid, RefMap};

fn git(dir: &Path, arguments: &[&str]) -> String {
    let done = Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")])
        .output()
        .unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// A command fails ([the reasons](crate::git#failures)) of the same repository.
fn asked(dir: &Path) -> LocalRefs {
    let text = git(dir, &["for-each-ref", "--format=%(objectname) %(objecttype) %(refname)"]);
    LocalRefs::parse(text.as_bytes()).unwrap()
}

/// A mirror with refs to each kind of object, everything packed; large blobs and trees so that there are deltas.
fn mirror() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "-q", "work"]);
    let work = folder.path().join("work");
    for number in 0..30 {
        fs::write(work.join(format!("file{number}")), format!("{number}\n").repeat(500)).unwrap();
        fs::write(work.join("same"), (0..400).map(|n| format!("{}\n", n * (1 + number / 20))).collect::<String>())
            .unwrap();
        git(&work, &["add", "-A"]);
        // Long messages that differ in a word: commits become deltas, too.
        let message = format!("change {number}\n\n{}", "a long story told again and again\n".repeat(60));
        git(&work, &["commit", "-q", "-m", &message]);
        git(&work, &["branch", &format!("b{number}")]);
        git(&work, &["tag", "-a", "-m", &message, &format!("v{number}")]);
    }
    git(&work, &["tag", "tree", "HEAD^{tree}"]);
    git(&work, &["tag", "blob", "HEAD:same"]);
    git(&work, &["update-ref", "refs/holocron/kept/20260101T000000Z/refs/heads/x", "HEAD~3"]);
    git(folder.path(), &["clone", "-q", "--mirror", "--no-local", "--template=", "work", "x.git"]);
    let dir = folder.path().join("x.git");
    git(&dir, &["repack", "-adfq", "--depth=50", "--window=50"]);
    (folder, dir)
}

#[test]
fn what_git_says_is_read_with_every_kind_of_object_and_deltas() {
    let (_folder, dir) = mirror();
    let chains = git(&dir, &["verify-pack", "-v", &pack(&dir).with_extension("idx").display().to_string()]);
    assert!(
        chains.lines().any(|line| line.contains(" commit ") && line.split(' ').count() > 6),
        "no commit is a delta"
    );
    let found = local_refs(&dir).expect("it is plain");
    assert_eq!(found, asked(&dir));
    assert_eq!((found.refs.len(), found.kept.len(), found.not_commits.len()), (63, 1, 32));
}

fn pack(dir: &Path) -> PathBuf {
    let packs = fs::read_dir(dir.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
    packs.into_iter().find(|path| path.extension().is_some_and(|end| end == "pack")).unwrap()
}

#[test]
fn a_loose_ref_wins_and_several_packs_are_searched() {
    let (folder, dir) = mirror();
    let work = folder.path().join("work");
    git(&work, &["commit", "-q", "--allow-empty", "-m", "later"]);
    git(&dir, &["-c", "fetch.unpackLimit=1", "fetch", "-q", "../work", "+refs/*:refs/*"]);
    assert!(dir.join("refs/heads/main").is_file());
    assert_eq!(local_refs(&dir).expect("it is plain"), asked(&dir));
    assert_eq!(
        local_refs(&dir).unwrap().refs[bstr::BStr::new("refs/heads/main")].to_string(),
        git(&work, &["rev-parse", "HEAD"])
    );
}

#[test]
fn a_repository_without_refs_has_none_and_one_without_objects_is_none() {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "-q", "--bare", "x.git"]);
    let dir = folder.path().join("x.git");
    assert_eq!(local_refs(&dir), Some(LocalRefs::default()));
    fs::remove_dir_all(dir.join("objects")).unwrap();
    assert_eq!(local_refs(&dir), None);
}

#[test]
fn a_head_may_name_any_branch_or_commit() {
    let (_folder, dir) = mirror();
    let all = asked(&dir);
    let tip = git(&dir, &["rev-parse", "HEAD"]);
    for head in ["ref: refs/heads/b7\n".to_owned(), "ref: refs/heads/not/yet/born\n".to_owned(), format!("{tip}\n")] {
        fs::write(dir.join("HEAD"), &head).unwrap();
        assert_eq!(local_refs(&dir).as_ref(), Some(&all), "{head}");
    }
}

#[test]
fn refs_that_are_packed_meanwhile_are_not_missed() {
    let (_folder, dir) = mirror();
    let tip = git(&dir, &["rev-parse", "HEAD"]);
    let before = asked(&dir).refs.len();
    for round in 1..=4 {
        for number in 0..300 {
            fs::write(dir.join(format!("refs/heads/round{round}-{number}")), format!("{tip}\n")).unwrap();
        }
        let mut packing = Command::new("git").arg("--git-dir").arg(&dir).args(["pack-refs", "--all"]).spawn().unwrap();
        while packing.try_wait().unwrap().is_none() {
            // A lock, or a file that is gone again, is for git to look at.
            if let Some(found) = local_refs(&dir) {
                assert_eq!(found.refs.len(), before + round * 300);
            }
        }
    }
    assert_eq!(local_refs(&dir), Some(asked(&dir)));
}

#[test]
fn with_many_packs_git_looks() {
    let (_folder, dir) = mirror();
    let first = pack(&dir);
    for number in 2..=65 {
        assert!(local_refs(&dir).is_some(), "{number}");
        for ending in ["pack", "idx"] {
            let copy = dir.join(format!("objects/pack/pack-{number:040}.{ending}"));
            fs::copy(first.with_extension(ending), copy).unwrap();
        }
    }
    assert_eq!(local_refs(&dir), None);
}

#[test]
fn a_configuration_is_plain_only_as_far_as_it_is_understood() {
    let usual = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n[remote \"origin\"]\n\turl = https://h/include/extensions.git\n\tmirror = true\n";
    assert!(is_plain_config(usual));
    assert!(is_plain_config(&format!("# a comment\n{usual}\n; another\n[gc]\n\tauto\n")));
    for more in [
        "[extensions]\n\tobjectFormat = sha256\n",
        "[Extensions]\n",
        "[include]\n\tpath = x\n",
        "[includeIf \"gitdir:x\"]\n\tpath = x\n",
        "[remote \"origin\"]\n\tpromisor = true\n",
        "[core]\n\trepositoryformatversion = 1\n",
        "[core]\n\tbare = maybe\n",
        "[core] bare = true\n",
        "[core]\n\tfilemode = perhaps\n",
        "[core]\n\tpackedGitLimit = much\n",
        "[extensions] # ]\n\tobjectFormat = sha256\n",
        "[extensions\"x\"]\n\tobjectFormat = sha256\n",
        "[color]\n\tui = perhaps\n",
        "[gc \"a]\nb\"]\n",
        "[core\n",
        "\t = x\n",
        "\tthis is no configuration\n",
        "[x]\n\ty = \"z\n",
        "[x]\n\ty = z\\\n[extensions]\n",
    ] {
        assert!(!is_plain_config(&format!("{usual}{more}")), "{more}");
    }
    for text in ["", "[core]\n\tbare = true\n", "key = value\n"] {
        assert!(!is_plain_config(text), "{text}");
    }
}

type Change<'a> = &'a dyn Fn(&Path);

#[test]
fn whatever_is_not_plain_is_for_git_to_look_at() {
    let append = |path: PathBuf, text: &str| {
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, before + text).unwrap();
    };
    let overwrite = |path: PathBuf, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::remove_file(&path).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let missing = "1234567890123456789012345678901234567890";
    let link = |dir: &Path| {
        fs::rename(dir.join("HEAD"), dir.join("HEAD.file")).unwrap();
        std::os::unix::fs::symlink("HEAD.file", dir.join("HEAD")).unwrap();
    };
    let changes: [(&str, Change); 22] = [
        ("a HEAD that is a link", &link),
        ("half a line of packed refs", &|dir| append(dir.join("packed-refs"), "x")),
        ("a pack that is not its index's", &|dir| {
            overwrite(pack(dir), &|bytes| *bytes.last_mut().unwrap() ^= 1);
        }),
        ("a pack with another number of objects", &|dir| overwrite(pack(dir), &|bytes| bytes[11] ^= 1)),
        ("refs in another format", &|dir| fs::create_dir(dir.join("reftable")).unwrap()),
        ("a HEAD of nothing", &|dir| fs::write(dir.join("HEAD"), "").unwrap()),
        ("a HEAD of garbage", &|dir| fs::write(dir.join("HEAD"), "garbage\n").unwrap()),
        ("a broken configuration", &|dir| append(dir.join("config"), "[core\n")),
        ("a lost configuration", &|dir| fs::remove_file(dir.join("config")).unwrap()),
        ("alternates", &|dir| append(dir.join("objects/info/alternates"), "/elsewhere\n")),
        ("another hash", &|dir| append(dir.join("config"), "[extensions]\n\tobjectFormat = sha256\n")),
        ("a missing object", &|dir| append(dir.join("packed-refs"), &format!("{missing} refs/heads/z\n"))),
        ("a loose ref to a missing object", &|dir| append(dir.join("refs/heads/z"), &format!("{missing}\n"))),
        ("an empty ref", &|dir| append(dir.join("refs/heads/z"), "")),
        ("a ref without its line's end", &|dir| append(dir.join("refs/heads/z"), missing)),
        ("a symbolic ref", &|dir| append(dir.join("refs/heads/z"), "ref: refs/heads/main\n")),
        ("a lock", &|dir| append(dir.join("refs/heads/main.lock"), &format!("{missing}\n"))),
        ("no refs", &|dir| fs::remove_dir_all(dir.join("refs")).unwrap()),
        ("no pack", &|dir| fs::remove_file(pack(dir)).unwrap()),
        ("no index", &|dir| fs::remove_file(pack(dir).with_extension("idx")).unwrap()),
        ("half an index", &|dir| overwrite(pack(dir).with_extension("idx"), &|bytes| bytes.truncate(bytes.len() / 2))),
        ("objects overwritten", &|dir| overwrite(pack(dir), &|bytes| bytes[12..].fill(0))),
    ];
    let (folder, whole) = mirror();
    assert!(local_refs(&whole).is_some());
    for (number, (what, change)) in changes.iter().enumerate() {
        let dir = folder.path().join(format!("{number}.git"));
        copy(&whole, &dir);
        change(&dir);
        assert_eq!(local_refs(&dir), None, "{what}");
    }
}

/// A whole folder.
fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-R").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

#[test]
fn a_repository_with_its_refs_in_tables_is_for_git_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let mut init = Command::new("git");
    init.current_dir(folder.path()).args(["init", "-q", "--bare", "--ref-format=reftable", "x.git"]);
    // Git 2.45 is the first that knows them.
    if init.output().unwrap().status.success() {
        assert_eq!(local_refs(&folder.path().join("x.git")), None);
    }
}

#[test]
fn objects_are_known_packed_or_loose_and_no_others() {
    let (folder, dir) = mirror();
    let oid = |text: &str| Oid::parse(text.as_bytes()).unwrap();
    let packed: BTreeSet<Oid> = ["HEAD", "v1", "tree", "blob"].map(|name| oid(&git(&dir, &["rev-parse", name]))).into();
    let work = folder.path().join("work");
    fs::write(work.join("new"), "new").unwrap();
    let fresh = oid(&git(&work, &["hash-object", "-w", "new"]));
    let missing = oid(&"1".repeat(40));
    let wanted: BTreeSet<Oid> = packed.iter().copied().chain([fresh, missing]).collect();
    assert_eq!(known(&dir, &wanted), Some(packed.clone()));
    let of_work = known(&work.join(".git"), &wanted).unwrap();
    assert_eq!((of_work.contains(&fresh), of_work.contains(&missing)), (true, false));
    fs::write(dir.join("objects/info/alternates"), "/elsewhere\n").unwrap();
    assert_eq!(known(&dir, &packed), None);
    assert_eq!(known(&work.join(".git"), &BTreeSet::from([oid(&"1".repeat(64))])), None);
}

#[test]
fn loose_objects_and_another_hash_are_for_git_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    for (name, format) in [("sha1", "--object-format=sha1"), ("sha256", "--object-format=sha256")] {
        git(folder.path(), &["init", "-q", format, name]);
        let work = folder.path().join(name);
        git(&work, &["commit", "-q", "--allow-empty", "-m", "x"]);
        assert_eq!(local_refs(&work.join(".git")), None, "{name}");
        git(&work, &["repack", "-adq"]);
        assert_eq!(local_refs(&work.join(".git")).is_some(), name == "sha1");
    }
}

#[test]
fn no_bytes_in_place_of_an_index_make_it_panic() {
    let (_folder, dir) = mirror();
    let index = pack(&dir).with_extension("idx");
    let whole = fs::read(&index).unwrap();
    fs::remove_file(&index).unwrap();
    let oids: RefMap = asked_before(&whole);
    for at in (0..whole.len().min(6000)).step_by(37) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs::write(&index, bytes).unwrap();
        if let Some(mut packs) = Packs::open(&dir.join("objects/pack")) {
            oids.values().for_each(|oid| _ = packs.kind(*oid));
        }
    }
}

/// The first ids of an index, under names that do not matter.
fn asked_before(index: &[u8]) -> RefMap {
    let ids = index[8 + 1024..].chunks_exact(20).take(60);
    ids.enumerate()
        .map(|(number, id)| {
            let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            (number.to_string().into(), Oid::parse(hex.as_bytes()).unwrap())
        })
        .collect()
}
