//! The hash trees of v2 torrents (BEP 52): SHA-256 over 16 KiB blocks, one binary tree a
//! file, filled up with zero leaves to a power of two.

use sha2::{Digest, Sha256};

/// A node of a tree.
pub(super) type Node = [u8; 32];

/// The node above 2^`height` leaves that lie behind the end of the file: the leaves
/// themselves are zeros.
fn padding(height: u32) -> Node {
    (0..height).fold([0; 32], |node, _| parent(&node, &node))
}

/// Root of the tree above `layer`, whose nodes each stand for 2^`height` blocks (0 for
/// block hashes); the layer is filled up with padding to a power of two. An empty layer
/// gives the padding itself.
pub(super) fn root(mut layer: Vec<Node>, height: u32) -> Node {
    let mut padding = padding(height);
    while layer.len() > 1 {
        layer = layer
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => parent(left, right),
                [left, ..] => parent(left, &padding),
                [] => padding,
            })
            .collect();
        padding = parent(&padding, &padding);
    }
    layer.first().copied().unwrap_or(padding)
}

/// The node `height` levels above `leaves`, which are at most 2^`height`; zeros stand for
/// those that are missing.
pub(super) fn subtree(leaves: Vec<Node>, height: u32) -> Node {
    let reached = leaves.len().next_power_of_two().trailing_zeros();
    (reached..height).fold(root(leaves, 0), |node, level| parent(&node, &padding(level)))
}

fn parent(left: &Node, right: &Node) -> Node {
    let mut both = [0; 64];
    both[..32].copy_from_slice(left);
    both[32..].copy_from_slice(right);
    Sha256::digest(both).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_is_its_own_root() {
        assert_eq!(root(vec![[7; 32]], 3), [7; 32]);
    }

    #[test]
    fn three_nodes_are_padded_to_four() {
        let (a, b, c) = ([1; 32], [2; 32], [3; 32]);
        let by_hand = parent(&parent(&a, &b), &parent(&c, &[0; 32]));
        assert_eq!(root(vec![a, b, c], 0), by_hand);
    }

    #[test]
    fn padding_of_a_piece_layer_is_a_tree_of_zero_leaves() {
        // BEP 52: the remaining leaf hashes beyond the end of the file are set to zero.
        let zeros = parent(&[0; 32], &[0; 32]);
        let (a, b, c) = ([1; 32], [2; 32], [3; 32]);
        let by_hand = parent(&parent(&a, &b), &parent(&c, &zeros));
        assert_eq!(root(vec![a, b, c], 1), by_hand);
    }

    /// The obvious way: all leaves written out, then level by level.
    fn slow(mut leaves: Vec<Node>, height: u32) -> Node {
        leaves.resize(1 << height, [0; 32]);
        while leaves.len() > 1 {
            leaves = leaves.chunks(2).map(|pair| parent(&pair[0], &pair[1])).collect();
        }
        leaves[0]
    }

    #[test]
    fn subtrees_and_roots_agree_with_the_obvious_way() {
        for count in 1..=17usize {
            let leaves: Vec<Node> = (0..count).map(|leaf| [leaf as u8 + 1; 32]).collect();
            let needed = count.next_power_of_two().trailing_zeros();
            assert_eq!(root(leaves.clone(), 0), slow(leaves.clone(), needed), "{count}");
            for height in needed..8 {
                assert_eq!(subtree(leaves.clone(), height), slow(leaves.clone(), height));
            }
        }
    }

    #[test]
    fn five_nodes_are_padded_to_eight() {
        let nodes: Vec<Node> = (1..=5).map(|byte| [byte; 32]).collect();
        let mut padded = nodes.clone();
        padded.resize(8, [0; 32]);
        assert_eq!(root(nodes, 0), root(padded, 0));
    }
}
