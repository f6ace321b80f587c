/**
 * The focus, which menus take and do not give back.
 */
import type { Menu } from '@lumino/widgets';

/** Give the focus back to where it was in a part of the page when a menu was opened there. */
export function keepFocus(
  menu: Menu,
  inside: (node: Element) => boolean
): void {
  let opener: HTMLElement | null = null;
  document.addEventListener(
    'contextmenu',
    ({ target }) => {
      const { activeElement: active } = document;
      opener =
        target instanceof Element &&
        inside(target) &&
        active instanceof HTMLElement
          ? active
          : null;
    },
    true
  );
  // Before the command runs: a dialog gives the focus back to where it was when it opened.
  menu.aboutToClose.connect(() => {
    if (opener?.isConnected) {
      opener.focus();
    }
    opener = null;
  });
}
