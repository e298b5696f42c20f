// Package doctor examines whether pitr could do its work now, before the night on which it has to: the repository, the
// cluster, the rights of each login, the archive, what earlier jobs left behind.
//
//  1. Look gathers facts: small reads of the repository and of the cluster. What cannot be asked is itself a fact, and the
//     look goes on: a cluster that is down does not hide a repository that is damaged.
//  2. Judge is a pure function of the facts: findings, each good, a warning, or bad, in words, with the next command.
//  3. Verdict is the error of the first bad finding, with the kind that gives the fitting exit code.
//
// It only reads. Nothing is written, neither to the cluster nor to the repository: the write block is not tried out, but
// whether our login may set and pass it is asked of the server.
package doctor
