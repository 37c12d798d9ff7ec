//! Completion scripts in the shells themselves: what a reader gets after TAB.

use crate::support::{Program, TestEnv};

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// A place with a configuration file, a directory and a file to complete.
fn place() -> TestEnv {
    let env = TestEnv::new();
    env.file("holocron.yaml", "sources: [{id: work, kind: gitlab, token: {env: T}}]\ndestinations: [{kind: gitea}]\n");
    env.file("lists/urls.txt", "");
    env
}

/// What a shell offers for a line that ends at the cursor, one word per line, without descriptions.
async fn offered(env: &TestEnv, shell: &str, line: &str) -> Vec<String> {
    let script = env.holocron(["completions", shell]).run().await;
    let script = env.file(format!("completions.{shell}"), script.assert_code(0).stdout.clone());
    let program = match shell {
        "bash" => {
            // The words as readline takes them apart: at blanks and at the signs of COMP_WORDBREAKS.
            let ask = format!(
                r#"source {0}; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; COMP_TYPE=9
                mapfile -t COMP_WORDS < <(sed -E 's/=/ = /g; s/ +/\n/g' <<<"$COMP_LINE")
                [[ ${{COMP_WORDS[-1]}} == "" && $COMP_LINE == *= ]] && unset 'COMP_WORDS[-1]'
                COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); current=${{COMP_WORDS[COMP_CWORD]}}
                [[ $current == "=" ]] && current=
                complete -p holocron >/dev/null || exit 9
                _clap_complete_holocron holocron "$current" ""
                printf '%s\n' "${{COMPREPLY[@]}}""#,
                script.display()
            );
            env.program("bash").args(["--norc", "-c", &ask])
        }
        "zsh" => {
            // What it would hand to the line editor, which needs a terminal, is printed instead.
            let ask = format!(
                r#"compdef() {{ [[ $2 == holocron ]] || exit 9 }}
                _describe() {{ print -rl -- "${{(@)${{(@P)3}}%%:*}}" }}
                source {}; words=("${{(@s: :)${{:-{line}}}}}"); CURRENT=$#words
                _clap_dynamic_completer_holocron"#,
                script.display(),
            );
            env.program("zsh").args(["-f", "-c", &ask])
        }
        _ => env.program("fish").args([
            "--no-config",
            "-c",
            &format!("source {}; complete -C '{line}'", script.display()),
        ]),
    };
    let run = with_holocron(env, program).run().await;
    let lines = run.stdout.lines().map(|line| line.split('\t').next().unwrap_or_default().trim_end().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

/// The scripts call the program by its name.
fn with_holocron(env: &TestEnv, program: Program) -> Program {
    let link = env.bin().join("holocron");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_holocron"), link).unwrap();
    }
    program
}

#[tokio::test]
async fn every_shell_completes_commands_flags_and_values() {
    let env = place();
    for shell in SHELLS {
        for (line, expected) in [
            ("holocron sta", ["status"].as_slice()),
            ("holocron --transp", &["--transport"]),
            ("holocron --transport ", &["auto", "git"]),
            ("holocron status --color ", &["always", "auto", "never"]),
            ("holocron --source ", &["codeberg", "dir", "forgejo", "gitea", "github", "gitlab", "urls", "work"]),
            ("holocron push --to ", &["gitea"]),
            ("holocron completions ", &["bash", "elvish", "fish", "powershell", "zsh"]),
            ("holocron --releases=l", &["latest"]),
            ("holocron status --storage li", &["lists/"]),
            ("holocron --urls-file lists/", &["lists/urls.txt"]),
        ] {
            let mut found = offered(&env, shell, line).await;
            found.sort();
            found.dedup();
            let offers = |word: &&str| found.iter().any(|found| is_same(found, word, line));
            assert!(expected.iter().all(offers), "{shell}: `{line}` offers {found:?}");
        }
        let flags = offered(&env, shell, "holocron status --").await;
        assert!(flags.iter().any(|flag| flag.contains("--check")), "{shell}: {flags:?}");
        assert!(!flags.iter().any(|flag| flag.contains("--watch")), "{shell}: {flags:?}");
    }
}

/// Shells differ in whether the flag before an equals sign belongs to the word, and in the slash of a directory.
fn is_same(found: &str, word: &str, line: &str) -> bool {
    let found = match line.rsplit_once(' ') {
        Some((_, last)) if last.contains('=') => found.rsplit_once('=').map_or(found, |(_, value)| value),
        _ => found,
    };
    found == word || found == word.trim_end_matches('/')
}
