// Package group is the service of group conversations: making and deleting them, who is in them, who may
// do what. The caller of the token is always the actor; a body that names another one is refused.
//
// A group has always at least one admin, and a group whose last member leaves is deleted. When the last
// admin leaves, is removed or gives the role up, the member who has been in it longest becomes admin,
// chosen the same way (by time of joining, then by id) whoever looks. The check runs before the change,
// so that a crash in between leaves one admin too many and not none, and again after it, so that two
// admins who leave at the same moment, on any two nodes, cannot both count on each other. It costs a walk
// over the member list (ten reads for ten thousand members), and only where an admin goes.
//
// Settings are kept as strings, which is what the store and the rules of sending read, and are told as
// booleans, with the defaults of keys that were never set. Four hold today: only_admins_can_send (in the
// rules of chat), only_admins_can_edit_info and only_admins_can_add_members (here).
package group
