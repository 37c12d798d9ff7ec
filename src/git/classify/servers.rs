//! The servers' own words: what forges and git servers say when they refuse something. First match wins, the specific
//! above the general.
//!
//! They are a stranger's: good for a message, a retry or a rule that is opened, never a ground to change a mirror. Each row
//! cites where its words come from. Words that a server also says when nothing is wrong (a greeting, a notice that a
//! repository has moved) are absent on purpose.

use super::rules::{Rule, row, row_beside};
use crate::base::failure::Reason::*;

/// Read in every line (over ssh they come without `remote:`), only where git itself told nothing exact.
pub(super) static SERVER: &[Rule] = &[
    // --- what the push contains ---
    // GitHub: `remote: - Push cannot contain secrets`, below `GITHUB PUSH PROTECTION`; before rulesets `error GH009: Secrets detected!`
    row("Push cannot contain secrets", SecretBlocked),
    row("GITHUB PUSH PROTECTION", SecretBlocked),
    row("GH009: Secrets detected", SecretBlocked),
    row("To push, remove secret from commit(s)", SecretBlocked),
    // GitLab: `remote: PUSH BLOCKED: Secrets detected in code changes`
    row("PUSH BLOCKED: Secrets detected", SecretBlocked),
    row("you must remove the identified secrets", SecretBlocked),
    // Azure DevOps, in the report: `VS403654: The push was rejected because it contains one or more secrets.`
    row("VS403654: ", SecretBlocked),
    // GitHub: `remote: error: File big.bin is 123.00 MB; this exceeds GitHub's file size limit of 100.00 MB`
    row("this exceeds GitHub's file size limit", TooLarge),
    row("GH001: Large files detected", TooLarge),
    // git 2.47, receive.maxInputSize; GitHub adds the size.
    row("fatal: pack exceeds maximum allowed size", TooLarge),
    // GitLab: `Your push has been rejected, because this repository has exceeded its size limit of 10 GB by 2.9 TB.`
    row("this repository has exceeded its size limit", TooLarge),
    // GitLab, a push rule: `File "a.bin" is larger than the allowed size of 5 MB.`
    row("is larger than the allowed size of", TooLarge),
    // Forgejo, routers/private/hook_pre_receive.go (9)
    row("Quota exceeded", TooLarge),
    // Bitbucket: `Repository is over the size limit (4 GB) and will not accept further additions.`
    row("Repository is over the size limit", TooLarge),
    // Azure DevOps: `TF402462: This push was rejected because its size is greater than the 5120 MB limit`
    row("TF402462: ", TooLarge),
    // JGit (Gerrit), ReceivePack
    row("Object too large", TooLarge),
    row("Pack exceeds the limit of", TooLarge),
    row("Commands size exceeds limit", TooLarge),
    row("GH008: Your push referenced at least", PushRejected),
    row("GH007: Your push would publish a private email address", PushRejected),
    // Azure DevOps, a policy on authors
    row("VS403702: ", PushRejected),
    // git 2.47, *.fsckObjects, at the server and here: the line with the object, above the one that only says so.
    row_beside("error: object *: ", "fatal: fsck error in pack", Corrupt),
    row("fatal: fsck error in pack", Corrupt),
    // git 2.47, index-pack and unpack-objects at the server: what came is not what was sent.
    row("remote: fatal: pack has bad object at offset ", Corrupt),
    row("remote: fatal: pack is corrupted (", Corrupt),
    row("remote: fatal: pack has * unresolved delta", Corrupt),
    row("remote: fatal: did not receive expected object ", Corrupt),
    row("remote: fatal: SHA1 COLLISION FOUND", Corrupt),
    // --- rules for refs ---
    row("GH006: Protected branch update failed", ProtectedRefRejected),
    row("GH003: ", ProtectedRefRejected),
    row("GH013: Repository rule violations found", ProtectedRefRejected),
    // GitHub, the lines below those: `remote: error: Cannot force-push to a protected branch`, `remote: - Cannot delete this tag`
    row("Cannot force-push to ", ProtectedRefRejected),
    row("Changes must be made through a pull request", ProtectedRefRejected),
    row("Required status check ", ProtectedRefRejected),
    row("required status checks are expected", ProtectedRefRejected),
    row("approved review is required", ProtectedRefRejected),
    row("Commits must have verified signatures", ProtectedRefRejected),
    row("Cannot update this protected ref", ProtectedRefRejected),
    row("remote: - Cannot delete this ", ProtectedRefRejected),
    row("Cannot create ref due to creations being restricted", ProtectedRefRejected),
    row("Cannot change this locked branch", ProtectedRefRejected),
    // GitLab, Checks::BranchCheck: `… push code to protected branches on this project.`, and force push, delete, merge, create
    row("You are not allowed to * protected branch", ProtectedRefRejected),
    row("The default branch of a project cannot be deleted", ProtectedRefRejected),
    row("You can only delete protected ", ProtectedRefRejected),
    row("You can only use an existing protected branch ref", ProtectedRefRejected),
    row("You can only create protected branches", ProtectedRefRejected),
    // GitLab, Checks::TagCheck
    row("You are not allowed to change existing tags", ProtectedRefRejected),
    row("You are not allowed to delete protected tags", ProtectedRefRejected),
    row("You are not allowed to create this tag", ProtectedRefRejected),
    row("Protected tags cannot be updated", ProtectedRefRejected),
    row("You are not allowed to access some of the refs", ProtectedRefRejected),
    // Gitea and Forgejo, routers/private/hook_pre_receive.go: `branch main is protected from force push`, and from deletion,
    // from changing a file, from an unverified commit
    row("branch * is protected from ", ProtectedRefRejected),
    row("branch * is the default branch and cannot be deleted", ProtectedRefRejected),
    row("Not allowed to push to protected branch ", ProtectedRefRejected),
    row("Not allowed to force-push to protected branch ", ProtectedRefRejected),
    row("Tag * is protected", ProtectedRefRejected),
    // Gogs, cmd/hook.go: `Gogs: Branch 'main' is protected from deletion`
    row("Branch '*' is protected ", ProtectedRefRejected),
    // Bitbucket: `Permission denied to update branch main.`, `Branch refs/heads/main can only be modified through pull requests.`
    row("Permission denied to * branch ", ProtectedRefRejected),
    row("can only be modified through pull requests", ProtectedRefRejected),
    row("Rewriting branch history is not allowed", ProtectedRefRejected),
    row("Check your branch permissions configuration", ProtectedRefRejected),
    // git 2.47, receive-pack.c, above the refs' own summaries
    row("error: refusing to update checked out branch", ProtectedRefRejected),
    row("error: denying ref deletion for ", ProtectedRefRejected),
    row("error: refusing to delete the current branch", ProtectedRefRejected),
    // gitolite 3.6: `remote: FATAL: + refs/heads/x repo bob DENIED by fallthru`
    row("FATAL: * refs/* DENIED by ", ProtectedRefRejected),
    // Gerrit: `Cannot delete from 'refs/heads/main'`
    row("Cannot delete from '", ProtectedRefRejected),
    // a hook-based forge: `remote: PermissionDenied: branch:refs/github-services/pull/1/head is illegal`
    row("PermissionDenied: branch:* is illegal", ProtectedRefRejected),
    // --- the repository ---
    // GitHub: `ERROR: This repository was archived so it is read-only.`
    row("This repository was archived so it is read-only", Archived),
    // Gitea and Forgejo, over HTTP and ssh
    row("This repo is archived.", Archived),
    row("Repo: * is archived.", Archived),
    // GitLab, Gitlab::GitAccess
    row("push code to an archived project", Archived),
    // Gerrit
    row("project state *does not permit ", Archived),
    // gitolite, the file `writable`
    row("FATAL: *writes are currently disabled", Archived),
    // Gitea, Forgejo and Gogs, a pull mirror there.
    row("mirror repository is read-only", PushRejected),
    row("Mirror repository is read-only", PushRejected),
    row("Mirror Repository * is read-only", PushRejected),
    // GitHub, with a 403: `remote: Repository unavailable due to DMCA takedown.`
    row("Repository unavailable due to DMCA takedown", Blocked),
    // Gitea and Forgejo, an owner who is not active
    row("Repository cannot be accessed. You cannot push", Blocked),
    row("Push to create is not enabled", RemoteNotFound),
    // GitHub over ssh: `ERROR: Repository not found.`; Gitea and GitHub over HTTP as `remote:`
    row("Repository not found", RemoteNotFound),
    // JGit
    row("repository not found: ", RemoteNotFound),
    // Gitea over ssh: `Gitea: Cannot find repository: o/r`
    row("Cannot find repository: ", RemoteNotFound),
    row("repository wiki is disabled", RemoteNotFound),
    // Gitea and Gogs over ssh
    row("Invalid repository path", RemoteNotFound),
    row("Repository does not exist or you do not have access", RemoteNotFound),
    row("Repository owner does not exist", RemoteNotFound),
    // GitLab, Gitlab::GitAccess
    row("The project you were looking for could not be found", RemoteNotFound),
    row("The namespace you were looking for could not be found", RemoteNotFound),
    row("A repository for this project does not exist yet", RemoteNotFound),
    // Azure DevOps: `TF401019: The Git repository with name or identifier x does not exist or you do not have permissions`
    row("TF401019: ", RemoteNotFound),
    // Gerrit: `project x not found`, `Project not found: x`, `fatal: 'x': not a git archive`
    row("Project not found: ", RemoteNotFound),
    row("fatal: project * not found", RemoteNotFound),
    row("': not a git archive", RemoteNotFound),
    // git daemon, with and without --informative-errors; the latter says it of a service that is off, too.
    row("remote error: no such repository: ", RemoteNotFound),
    row("remote error: access denied or repository not exported", RemoteNotFound),
    // git daemon with --informative-errors: it is there, and kept from everybody. No ground to take it for gone.
    row("remote error: repository not exported: ", Forbidden),
    row("remote error: service not enabled: ", Forbidden),
    row("remote error: service rejected: ", Forbidden),
    // gitolite 3.6: of a missing repository it says `R any <repo> <user> DENIED`, as of one that is not ours to read.
    row("FATAL: R any * DENIED by ", RemoteNotFound),
    row(" DENIED by existence", RemoteNotFound),
    row("FATAL: invalid repo name: ", RemoteNotFound),
    row("FATAL: autocreate denied", RemoteNotFound),
    row("FATAL: * is mirrored but not here", RemoteNotFound),
    row("FATAL: W any * DENIED by ", Forbidden),
    // --- the credential ---
    // GitLab over ssh and HTTP
    row("Your SSH key has expired", AuthFailed),
    row("Your password expired", AuthFailed),
    // GitLab, with a 403 as well
    row("HTTP Basic: Access denied", AuthFailed),
    // GitHub
    row("Invalid username or ", AuthFailed),
    row("Support for password authentication was removed", AuthFailed),
    row("You're using an RSA key with SHA-1", AuthFailed),
    row("[EPOLICYKEYAGE]", AuthFailed),
    // Gitea and Forgejo
    row("Users with two-factor authentication enabled cannot perform HTTP", AuthFailed),
    row("User with two-factor authentication enabled cannot perform HTTP", AuthFailed),
    row("Cannot find key: ", AuthFailed),
    row("Public Key: * owner * does not exist", AuthFailed),
    // Gogs
    row("Invalid key ID", AuthFailed),
    // Bitbucket
    row("stopped supporting account passwords", AuthFailed),
    row("App passwords are recommended", AuthFailed),
    row("need to authenticate with an app password", AuthFailed),
    row("fatal: Invalid credentials", AuthFailed),
    // Gitee
    row("Incorrect username or password", AuthFailed),
    // AWS CodeCommit over ssh
    row("Error: public key denied", AuthFailed),
    // gitolite
    row("FATAL: who the *heck* are you?", AuthFailed),
    // --- the account ---
    // GitHub
    row("Your account is suspended", Blocked),
    row("Your account is disabled", Blocked),
    row("organization has an IP allow list enabled", Blocked),
    // GitLab, Gitlab::Auth::UserAccessDeniedReason
    row("Your account has been ", Blocked),
    row("Your account is pending approval", Blocked),
    row("must accept the Terms of Service", Blocked),
    row("Your primary email address is not confirmed", Blocked),
    // --- what the credential may not do ---
    // GitHub over ssh: `ERROR: Permission to o/r.git denied to u.`
    row("Permission to * denied to ", Forbidden),
    row("The key you are authenticating with has been marked as read only", Forbidden),
    // GitHub
    row("organization has enabled or enforced SAML SSO", Forbidden),
    row("Write access to repository not granted", Forbidden),
    row("git protocol on port 9418 is no longer supported", Forbidden),
    // GitLab, Gitlab::GitAccess: `You are not allowed to download code from this project.`, `… push code to this project.`
    row("You are not allowed to * this project", Forbidden),
    row("You are not allowed to download code", Forbidden),
    row("You are not allowed to upload code", Forbidden),
    row("This deploy key does not have write access to this project", Forbidden),
    row("over HTTP is not allowed", Forbidden),
    row("Git access over * is not allowed", Forbidden),
    row("Insufficient permissions to pull from the repository of project", Forbidden),
    row("Authentication by CI/CD job token not allowed", Forbidden),
    row("Could not create project: ", Forbidden),
    row("The command you're trying to execute is not allowed", Forbidden),
    row("Disallowed command", Forbidden),
    row("ERROR: Unknown command: ", Forbidden),
    row("This action cannot be performed by internal users", Forbidden),
    // Gitea, Forgejo and Gogs
    row("User permission denied", Forbidden),
    row("Key: * is not authorized to ", Forbidden),
    row("SSH has been disabled", Forbidden),
    row("Interacting with repositories by HTTP protocol is ", Forbidden),
    row("LFS Server is not enabled", Forbidden),
    row("Rejecting changes as * environment not set", Forbidden),
    row("Permission denied for changing repo settings", Forbidden),
    row("sufficient authorization for this action", Forbidden),
    row("Gogs: Key * denied", Forbidden),
    // Azure DevOps: `TF401027: You need the Git 'GenericContribute' permission`
    row("TF401027: ", Forbidden),
    // Bitbucket: `conq: repository access denied. access via a deployment key is read-only.`
    row("conq: repository access denied", Forbidden),
    // AWS CodeCommit
    row("EncryptionKeyAccessDeniedException", Forbidden),
    // Gerrit and JGit
    row("Upload denied for project '", Forbidden),
    row("lack 'forge ", Forbidden),
    row("Not permitted to create ", Forbidden),
    row("fatal: receive-pack not permitted", Forbidden),
    row("fatal: upload-pack not permitted", Forbidden),
    row(" not permitted on '", Forbidden),
    // gitolite
    row("FATAL: unknown git/gitolite command: ", Forbidden),
    row("FATAL: suspicious characters loitering", Forbidden),
    row("FATAL: * is not the master for '", Forbidden),
    row("FATAL: * pushing '*' to copy '*' not allowed", Forbidden),
    // git-shell: `fatal: unrecognized command 'ls'`
    row("fatal: unrecognized command '", Forbidden),
    row("fatal: Interactive git shell is not enabled", Forbidden),
    // --- too much at once ---
    row("This request was rate-limited due to too many requests", RateLimited),
    // GitLab: gitaly's limits, and those of gitlab-shell
    row("maximum time in concurrency queue reached", RateLimited),
    row("maximum queue size reached", RateLimited),
    row("unable to handle this request due to load", RateLimited),
    row("too many concurrent sessions", RateLimited),
    // AWS CodeCommit
    row("Rate Exceeded", RateLimited),
    // --- trouble at the server ---
    row("No space left on device", ServerError),
    // git 2.47, the server's object store belongs to somebody else
    row("insufficient permission for adding an object to repository database", ServerError),
    row("pack-objects died of signal", ServerError),
    // git 2.47, upload-pack.c, on the error band. Below the row above: a killed pack-objects ends in these words, too.
    row("aborting due to possible repository corruption", Corrupt),
    // Another push at the same moment, then a lock of theirs.
    row("cannot lock ref '*': is at * but expected", RefRace),
    row("' exists; cannot create '", RefRace),
    // JGit and git 2.47: what was advertised is there no more.
    row("want * not valid", RefRace),
    row("remote error: unknown ref ", RefRace),
    row("Unable to create '*.lock': File exists", ServerError),
    row("cannot lock ref '*File name too long", PushRejected),
    // Gitea and Forgejo: `Internal Server Error (no specific error)`, `Internal Server Connection Error`
    row("Internal Server Error", ServerError),
    row("Internal Server Connection Error", ServerError),
    row("Repository cannot be accessed, you could retry it later", ServerError),
    row("Repository is being created, you could retry", ServerError),
    row("Repository is in a broken state", ServerError),
    row("Unable to access repository path", ServerError),
    row("Key check failed", ServerError),
    row("Hook failed: stdin read error", ServerError),
    row("Error checking user quota", ServerError),
    // Gogs
    row("Gogs: Internal error", ServerError),
    // GitHub
    row("fatal error in commit_refs", ServerError),
    // GitLab
    row("The repository is temporarily read-only", ServerError),
    row("push code to a read-only GitLab instance", ServerError),
    row("Gitaly, is not available at this time", ServerError),
    row("Internal API unreachable", ServerError),
    row("Internal API error", ServerError),
    row("Remote repository is unavailable", ServerError),
    row("error executing git hook", ServerError),
    // Gerrit
    row("fatal: unable to check permissions ", ServerError),
    // sourcehut
    row("A temporary error has occured", ServerError),
    // git 2.47, receive-pack.c and upload-pack.c
    row("cannot find hook 'proc-receive'", ServerError),
    row("proc-receive exited abnormally", ServerError),
    row("unable to fork git-pack-objects", ServerError),
];
