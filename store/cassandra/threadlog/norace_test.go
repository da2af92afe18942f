//go:build !race

package threadlog

const raceEnabled = false
