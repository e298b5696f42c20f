// Package playbook runs an incident procedure step by step and remembers every step, so that a tired person can be cut off
// at any point and somebody else can go on.
//
//  1. A procedure is a value: a name, the cluster, the steps. It is built in, or read from a file. All of it is checked
//     against the commands that the program really has before the first step runs.
//  2. Whoever runs it holds the lease "playbook". A second person is told who is at it, since when, and at which step, and
//     leaves a word in the journal, so that the first one hears of it too.
//  3. The journal lies in the repository, never in the database that is being restored. The first entry holds the procedure;
//     a step is announced before it does anything, and a decision is published before it is acted upon. Entries are created
//     once, under the next number: whoever comes second meets an object and not a silence.
//  4. State is a pure function of the entries: the first step that is not done is where a resumed run goes on. A step that
//     was cut off is told so, with the job that it had begun, if any: how to go on with a job is its performer's business.
//
// The package knows neither terminal nor database: a Performer does the steps, asks the questions and prints. It writes to
// nothing but the journal and its lease.
package playbook
