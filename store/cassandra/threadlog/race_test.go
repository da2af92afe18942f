//go:build race

package threadlog

const raceEnabled = true
