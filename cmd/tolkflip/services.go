package main

import "strings"

// serviceNames are the twelve services in the order of their ports, from --port-base on: the folders of httpapi.
func serviceNames() []string {
	return []string{
		"gateway", "auth", "user", "chat", "translation", "transcription",
		"media", "presence", "messagestore", "notification", "webrtc", "group",
	}
}

// wanted reports whether --services asks for a service.
func wanted(list, name string) bool {
	if list == "all" {
		return true
	}
	for w := range strings.SplitSeq(list, ",") {
		if w == name {
			return true
		}
	}
	return false
}

// socketPaths are the paths on a service's port at which a WebSocket of the action protocol opens.
func socketPaths(name string) []string {
	switch name {
	case "gateway":
		return []string{"/ws", "/chat"}
	case "chat", "webrtc":
		return []string{"/ws"}
	default:
		return nil
	}
}
